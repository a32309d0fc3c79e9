/**
 * Of an absolute URL, without parsing it again. Without a slash at the end of the path: vLLM would answer with a redirect
 * to its own address.
 */
export function pathAndQuery(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  if (start === -1) return '/'
  const end = url.indexOf('#', start)
  const whole = end === -1 ? url.slice(start) : url.slice(start, end)
  const query = whole.indexOf('?')
  const last = (query === -1 ? whole.length : query) - 1
  return last > 0 && whole[last] === '/' ? whole.slice(0, last) + whole.slice(last + 1) : whole
}

/**
 * The path that a worker gets, with its escapes resolved and without the query; undefined where whoever reads it may end
 * up elsewhere than it says: behind dots that lead upwards, or escapes that are escaped once more.
 * @param url of the request
 */
export function sentPath(url: string): string | undefined {
  const asSent = pathAndQuery(url)
  const query = asSent.indexOf('?')
  let path = query === -1 ? asSent : asSent.slice(0, query)
  try {
    if (path.includes('%')) path = decodeURIComponent(path)
  } catch {
    return undefined
  }
  return ambiguous.test(path) ? undefined : path
}

/** Some servers take a backslash for a slash, and drop what follows a semicolon. */
const ambiguous = /[%\\\0]|\/\.{1,2}(?:\/|;|$)/
