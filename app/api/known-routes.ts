import { bodySchemas } from '../../middleware/schemas/index.ts'

/** Their bodies are forms. */
export const speechRoutes = ['/v1/audio/transcriptions', '/v1/audio/translations'] as const

/** Paths that become the `route` label as they are. Clients can make up others, which must make no series. */
export const knownRoutes: ReadonlySet<string> = new Set([
  ...Object.keys(bodySchemas),
  ...speechRoutes,
  '/v1/models',
  '/health',
  '/liveness',
  '/readiness',
])
