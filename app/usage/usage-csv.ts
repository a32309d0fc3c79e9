import type { UsageHour } from './usage-report.ts'
import { usageFields } from './usage-row.ts'

const columns = ['hour', 'tenant', 'model', ...usageFields] as const

/** RFC 4180: a line of names, then one for each hour, tenant and model; no tenant is an empty field. */
export function usageCsv(hours: readonly UsageHour[]): string {
  const lines = hours.map((hour) => columns.map((column) => cell(hour[column])).join(','))
  return [columns.join(','), ...lines].map((line) => `${line}\r\n`).join('')
}

function cell(value: string | number | null): string {
  const text = value === null ? '' : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
