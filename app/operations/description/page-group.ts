import { json, type RouteGroup } from './route-description.ts'

/** What the page of the operations listener asks for, besides the routes that others use. */
export const pageGroup: RouteGroup = {
  title: 'For the page',
  about: 'Admin routes that the page uses. They are not on the API listener.',
  routes: [
    {
      ...{ method: 'get', path: '/events', name: 'getEvents' },
      summary: 'What the page shows, once a second, as server-sent events',
      more: 'The fields of an event are in observability.md. Whoever reads slowly gets fewer events, each with all that has changed in the meantime.',
      answers: {
        200: {
          when: 'until the reader leaves, the admin key is changed or the router ends',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
      },
      errors: { rate_limited: 'fifty are watching already, or the router is about to end' },
    },
    {
      ...{ method: 'post', path: '/playground', name: 'postPlayground' },
      summary: 'A chat through the API, as any client sends it',
      more: 'The body and the answer are those of `POST /v1/chat/completions`. The API sees the key in the header `x-router-api-key` as that of the client, and no admin key.',
      answers: {
        200: {
          when: 'the worker has answered',
          content: { ...json({ type: 'object' }), 'text/event-stream': { schema: { type: 'string' } } },
        },
      },
      errors: { invalid_request: 'the body is no chat; every other error of the API can come as well' },
    },
  ],
}
