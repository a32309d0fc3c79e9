/** Probes, listings, metrics and the development routes. */
import { immediate, json } from '../answer.ts'
import { ApiError } from '../api-error.ts'
import type { SimContext } from '../call.ts'
import { metricsText } from '../metrics.ts'
import type { Handler } from './index.ts'

const empty = immediate('', '')
const getAndPost = (handler: Handler) => ({ GET: handler, POST: handler })
const accepted: Record<string, Handler> = { POST: () => empty }

const health: Handler = (sim) => {
  const fault = sim.faults.strikeKind('health-status')
  if (fault) throw new ApiError(fault.status, 'SimulatedFault', 'Simulated fault')
  return empty
}

const models: Handler = (sim) =>
  json({ object: 'list', data: sim.settings.models.map((id) => card(sim, id)) })

function card({ settings, startedAt }: SimContext, id: string): unknown {
  return {
    id,
    object: 'model',
    created: startedAt,
    owned_by: 'vllm',
    root: id,
    parent: null,
    max_model_len: Number.isFinite(settings.maxModelLen) ? settings.maxModelLen : 131_072,
    permission: [
      {
        id: `modelperm-${settings.id}`,
        object: 'model_permission',
        created: startedAt,
        allow_create_engine: false,
        allow_sampling: true,
        allow_logprobs: true,
        allow_search_indices: false,
        allow_view: true,
        allow_fine_tuning: false,
        organization: '*',
        group: null,
        is_blocking: false,
      },
    ],
  }
}

const resetPrefixCache: Handler = (sim) => {
  sim.engine.cache.reset()
  return empty
}

/** Development routes that change nothing here: they exist so that a gateway can be shown to guard them. */
const inert = [
  '/sleep',
  '/wake_up',
  '/collective_rpc',
  '/reset_mm_cache',
  '/reset_encoder_cache',
  '/pause',
  '/resume',
  '/start_profile',
  '/stop_profile',
  '/init_weight_transfer_engine',
  '/update_weights',
  '/scale_elastic_ep',
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
]

export const service: Record<string, Record<string, Handler>> = {
  '/health': { GET: health },
  '/ping': getAndPost(() => empty),
  '/version': {
    GET: () => json({ version: '0.0.0+simulated', simulated: true, note: 'simulated vLLM, not a real one' }),
  },
  '/metrics': { GET: (sim) => immediate(metricsText(sim), 'text/plain; version=0.0.4; charset=utf-8') },
  '/load': { GET: (sim) => json({ server_load: sim.load() }) },
  '/v1/models': { GET: models },
  '/reset_prefix_cache': { POST: resetPrefixCache },
  '/is_sleeping': { GET: () => json({ is_sleeping: false }) },
  '/is_paused': { GET: () => json({ is_paused: false }) },
  '/server_info': { GET: () => json({ simulated: true }) },
  ...Object.fromEntries(inert.map((path) => [path, accepted])),
}
