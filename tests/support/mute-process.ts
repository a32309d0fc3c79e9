/** Stands in for a process of the router that starts and then hangs: it answers its first call and no other. */

process.on('message', (messages: readonly { readonly call?: string; readonly id?: number }[]) => {
  for (const { call, id } of messages) if (call === 'start') process.send?.([{ answer: id, value: null }])
})
process.on('disconnect', () => process.exit(0))
