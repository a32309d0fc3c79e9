/** No dashboard and no alert asks for a metric or a label that the router does not have, and each alert can be acted on. */

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { settingNames } from '../../app/config/settings.ts'
import { labelsOf, queryFaults, routerCatalogue } from '../support/k8s-catalogue.ts'
import { filledIn, queriesOf, readDashboards, variableQueries } from '../support/k8s-dashboards.ts'
import { parseManifests, readK8s, theOne } from '../support/k8s-manifests.ts'

interface Alert {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: { readonly severity: string }
  readonly annotations: {
    readonly summary: string
    readonly description: string
    readonly runbook_url: string
  }
}

interface RuleTest {
  readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly unknown[] }[]
}

/** Of the verbs, and of vLLM. */
const otherFlags = ['failed', 'slower-than-ms', 'tenant', 'enable-prompt-tokens-details']
const catalogue = routerCatalogue()
const dashboards = readDashboards()
const alerts: readonly Alert[] = parse(readK8s('monitoring/rules.yaml')).groups.flatMap(
  ({ rules }: { rules: Alert[] }) => rules,
)
const runbook = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8')
const headings = [...runbook.matchAll(/^## (.*)$/gm)].map(([, heading = '']) => heading)

describe('the dashboards', () => {
  test('are the five', () => {
    const files = dashboards.map(({ file }) => file)
    assert.deepEqual(files, ['fleet.json', 'requests.json', 'router.json', 'tenants.json', 'worker.json'])
    assert.equal(new Set(dashboards.map(({ uid }) => uid)).size, 5)
  })

  test('ask only for metrics and labels of the catalogue', () => {
    const queries = queriesOf(dashboards)
    assert.ok(queries.length > 40)
    const faults = queries.flatMap(({ where, expr }) =>
      queryFaults(filledIn(expr, '1m'), catalogue).map((fault) => `${where}: ${fault}`),
    )
    assert.deepEqual(faults, [])
  })

  test('name in their legends only labels that the query gives', () => {
    for (const { where, expr, legendFormat } of queriesOf(dashboards)) {
      const known = labelsOf(expr, catalogue)
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        assert.ok(known.includes(label), `${where}: {{${label}}}`)
    }
  })

  test('choose among values of labels that are there', () => {
    const queries = variableQueries(dashboards)
    assert.ok(queries.length >= 8)
    for (const { where, series, label } of queries) {
      assert.deepEqual(queryFaults(series, catalogue), [], where)
      assert.ok(labelsOf(series, catalogue).includes(label), where)
    }
  })

  test('say of each panel what it shows, and put none upon another', () => {
    for (const { file, panels } of dashboards) {
      assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length, file)
      const taken = new Set<string>()
      for (const { title, description, gridPos } of panels) {
        assert.ok(title.length > 3 && description.length > 10, `${file}: ${title}`)
        assert.ok(gridPos.x + gridPos.w <= 24, `${file}: ${title}`)
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            assert.ok(!taken.has(`${x},${y}`), `${file}: ${title} lies upon another`)
            taken.add(`${x},${y}`)
          }
      }
    }
  })

  test('say of each panel what to do, and name only alerts, panels, pages and flags that there are', () => {
    const panelTitles = dashboards.flatMap(({ panels }) => panels.map(({ title }) => title.split(',', 1)[0]))
    const names = new Set([...panelTitles, ...dashboards.map(({ title }) => title.split(' / ')[1])])
    for (const { file, panels } of dashboards) {
      for (const { title, description } of panels) {
        const place = `${file}: ${title}`
        // What it shows, then when to act: and how.
        assert.match(description, /^[A-Z].{3,}: .{20,}\.$/, place)
        for (const [alert] of description.matchAll(/VllmRouter\w+/g))
          assert.ok(headings.includes(alert), place)
        for (const [, name = ''] of description.matchAll(/\*([^*]+)\*/g))
          assert.ok(names.has(name.split(',', 1)[0]), `${place}: ${name}`)
        for (const [page] of description.matchAll(/docs\/[\w.-]+\.md/g))
          assert.ok(existsSync(new URL(`../../${page}`, import.meta.url)), `${place}: ${page}`)
        for (const [, flag = ''] of description.matchAll(/(?<![\w-])--([a-z][\w-]*)/g))
          assert.ok(settingNames.includes(flag) || otherFlags.includes(flag), `${place}: --${flag}`)
      }
    }
  })

  test('show what goes on inside: processes, reloads, busy workers, choices and caches', () => {
    const asked = queriesOf(dashboards)
      .map(({ expr }) => expr)
      .join('\n')
    for (const metric of [
      ...['processes', 'process_restarts_total', 'config_reload_success', 'config_reload_timestamp_seconds'],
      ...['worker_busy', 'policy_decisions_total', 'expected_cached_share_sum', 'buffered_bytes'],
      ...['log_lines_dropped_total', 'worker_first_token_seconds', 'worker_quiet_seconds'],
    ])
      assert.ok(asked.includes(`vllm_router_${metric}`), metric)
  })

  test('show who uses the fleet, what holds tenants back, and what expires or is lost', () => {
    const asked = queriesOf(dashboards)
      .map(({ expr }) => expr)
      .join('\n')
    for (const metric of [
      ...[
        'tenant_requests_total',
        'usage_tokens_total',
        'usage_worker_seconds_total',
        'usage_write_errors_total',
      ],
      ...['tenant_limited_total', 'limits_store_up', 'queue_class_depth', 'queue_shed_total'],
      ...['tls_certificate_expiry_timestamp_seconds', 'trace_spans_dropped_total'],
    ])
      assert.ok(asked.includes(`vllm_router_${metric}`), metric)
  })

  test('are shipped with the component', () => {
    const { configMapGenerator } = parse(readK8s('monitoring/kustomization.yaml'))
    const shipped = configMapGenerator.flatMap(({ files }: { files: string[] }) => files)
    assert.deepEqual(shipped.sort(), dashboards.map(({ file }) => `dashboards/${file}`).sort())
  })
})

describe('the alerts', () => {
  test('ask only for metrics and labels of the catalogue', () => {
    const faults = alerts.flatMap(({ alert, expr }) =>
      queryFaults(expr, catalogue).map((fault) => `${alert}: ${fault}`),
    )
    assert.deepEqual(faults, [])
  })

  test('have a severity, words, and labels in these words that the query gives', () => {
    for (const { alert, expr, labels, annotations } of alerts) {
      assert.match(alert, /^VllmRouter[A-Z]\w+$/)
      assert.match(labels.severity, /^(critical|warning)$/, alert)
      assert.ok(annotations.summary.length > 10 && annotations.description.length > 30, alert)
      for (const [, label = ''] of annotations.description.matchAll(/\$labels\.(\w+)/g))
        assert.ok(labelsOf(expr, catalogue).includes(label), `${alert}: ${label}`)
    }
  })

  test('link to an entry of the runbook, and each entry has its alert', () => {
    for (const { alert, annotations } of alerts)
      assert.equal(annotations.runbook_url, `docs/runbook.md#${alert.toLowerCase()}`)
    assert.deepEqual(
      headings,
      alerts.map(({ alert }) => alert),
    )
  })

  test('are called as severe in the runbook as they are', () => {
    for (const { alert, labels } of alerts) {
      const [, severity = ''] = new RegExp(`^## ${alert}\\n\\n\\*\\*(\\w+)\\.\\*\\*`, 'm').exec(runbook) ?? []
      assert.equal(severity.toLowerCase(), labels.severity, alert)
    }
  })

  test('each have a test in which they fire and one in which they stay quiet', () => {
    const { tests } = parse(readK8s('monitoring/rules.test.yaml')) as { tests: readonly RuleTest[] }
    const cases = tests.flatMap(({ alert_rule_test }) => alert_rule_test)
    for (const { alert } of alerts) {
      const mine = cases.filter(({ alertname }) => alertname === alert)
      assert.ok(
        mine.some(({ exp_alerts }) => exp_alerts.length > 0),
        `${alert} never fires`,
      )
      assert.ok(
        mine.some(({ exp_alerts }) => exp_alerts.length === 0),
        `${alert} is never quiet`,
      )
    }
  })
})

describe('what belongs together', () => {
  const manifests = parseManifests(readK8s('vllm-router-all-nodes.yaml'))

  test('the alert for memory knows the limit of the Deployment', () => {
    const container = theOne(manifests, 'Deployment').spec?.template.spec?.containers[0]
    assert.equal(container?.resources?.limits?.memory, '8Gi')
    const { expr } = alerts.find(({ alert }) => alert === 'VllmRouterMemoryHigh') ?? {}
    assert.match(expr ?? '', / > 0\.8 \* 8 \* 1024 \^ 3$/)
  })

  test('the autoscaler asks for the metric that the adapter serves, which the router has', () => {
    const scaler = theOne(manifests, 'HorizontalPodAutoscaler')
    const asked = scaler.spec?.metrics?.flatMap(({ pods }) => pods?.metric.name ?? [])
    const [rule] = parse(readK8s('monitoring/prometheus-adapter.yaml')).rules.custom
    assert.deepEqual(asked, [rule.name.as])
    assert.ok(catalogue.has(rule.seriesQuery.split('{')[0]))
  })

  test('the service monitor finds the Service of the metrics, under the name that the alerts know', () => {
    const { spec } = parse(readK8s('monitoring/service-monitor.yaml'))
    const service = theOne(manifests, 'Service', 'vllm-router-metrics')
    for (const [key, value] of Object.entries(spec.selector.matchLabels))
      assert.equal(service.metadata?.labels?.[key], value, key)
    assert.equal(spec.endpoints[0].port, service.spec?.ports?.[0]?.name)
    assert.equal(service.metadata?.labels?.[spec.jobLabel], 'vllm-router')
    assert.ok(alerts.some(({ expr }) => expr.includes('job="vllm-router"')))
    const { scrape_configs } = parse(readK8s('monitoring/scrape-config.yaml'))
    assert.equal(scrape_configs[0].job_name, 'vllm-router')
  })
})

describe('the comparison with the catalogue', () => {
  const wrong: readonly (readonly [query: string, fault: RegExp])[] = [
    ['sum(rate(vllm_router_request_total[5m]))', /no metric vllm_router_request_total/],
    ['vllm_router_generate_duration_seconds', /no metric/],
    ['vllm_router_running_requests{model="x"}', /no label model/],
    ['sum by (model) (vllm_router_running_requests)', /has the label model/],
    ['a / on (tenant) group_left () b', /no metric a/],
    ['vector(1)', /names no metric/],
  ]
  for (const [query, fault] of wrong)
    test(`refuses ${query}`, () => {
      assert.match(queryFaults(query, catalogue).join('\n'), fault)
    })

  test('takes what is right', () => {
    for (const query of [
      'histogram_quantile(0.95, sum by (le, model) (rate(vllm_router_time_to_first_token_seconds_bucket{job=~".*"}[5m])))',
      'sum(rate(vllm_router_requests_total{status=~"5..", route="a{b}"}[5m])) / sum(rate(vllm_router_requests_total[5m])) > 0.05',
      'max without (instance) (vllm_router_cb_state) unless on (worker) vllm_router_worker_health offset 5m',
    ])
      assert.deepEqual(queryFaults(query, catalogue), [], query)
  })
})
