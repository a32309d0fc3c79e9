import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where system administration's programs are on Debian, which is not on every user's path. */
const more = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** The full path of an installed program, those in node_modules left out; undefined where there is none. */
export function installed(name: string): string | undefined {
  const places = [...(process.env.PATH ?? '').split(delimiter), ...more]
  return places
    .filter((place) => !place.includes('node_modules'))
    .map((place) => join(place, name))
    .find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
