/** Lines over time in an SVG of the document. */

const namespace = 'http://www.w3.org/2000/svg'

function path(svg, className) {
  const made = document.createElementNS(namespace, 'path')
  made.setAttribute('class', className)
  svg.append(made)
  return made
}

function setD(element, d) {
  if (element.getAttribute('d') !== d) element.setAttribute('d', d)
}

/** Numbers at even distances, the newest at the right edge: the small chart of a row. */
export class Sparkline {
  #line
  #most

  constructor(svg, most) {
    this.#line = path(svg, 'line first')
    this.#most = most
  }

  /** @param numbers at most as many as there is room for */
  show(numbers) {
    const highest = Math.max(4, ...numbers)
    const from = this.#most - numbers.length
    const steps = numbers.map((number, index) => {
      const x = ((from + index) / (this.#most - 1)) * 120
      return `${index === 0 ? 'M' : 'L'}${x.toFixed(1)} ${(23 - (number / highest) * 22).toFixed(1)}`
    })
    setD(this.#line, steps.join(''))
  }
}

/** One or two lines over the last minutes; where nothing is known there is no line. */
export class TimeChart {
  #svg
  #lines
  #area
  #cursor

  /** @param lines how many */
  constructor(svg, lines) {
    this.#svg = svg
    this.#area = path(svg, 'area')
    this.#lines = Array.from({ length: lines }, (_, index) =>
      path(svg, index === 0 ? 'line first' : 'line second'),
    )
    this.#cursor = path(svg, 'cursor')
  }

  /**
   * @param points each with a time in milliseconds and, for each line, a number or null
   * @param now the right edge
   * @param seconds from the left edge to the right one
   * @returns the highest number of the scale
   */
  show(points, now, seconds) {
    const from = now - seconds * 1000
    const highest = roundUp(Math.max(0, ...points.flatMap(({ values }) => values.map((value) => value ?? 0))))
    const place = (at, value) => [((at - from) / (seconds * 1000)) * 300, 47 - (value / highest) * 45]
    for (const [index, line] of this.#lines.entries()) {
      const runs = runsOf(points, index)
      const drawn = runs.map((run) => run.map(([at, value]) => place(at, value)))
      setD(line, drawn.map(polyline).join(''))
      if (index === 0) setD(this.#area, drawn.map(closed).join(''))
    }
    return highest
  }

  /** A line down at that time; undefined takes it away. */
  mark(at, now, seconds) {
    const x = at === undefined ? undefined : 300 - ((now - at) / (seconds * 1000)) * 300
    setD(this.#cursor, x === undefined ? '' : `M${x.toFixed(1)} 0V48`)
  }

  /** The time beneath a pointer. */
  timeAt(clientX, now, seconds) {
    const { left, width } = this.#svg.getBoundingClientRect()
    return now - (1 - (clientX - left) / width) * seconds * 1000
  }
}

/** Stretches without a gap of more than five seconds. */
function runsOf(points, index) {
  const runs = []
  let last
  for (const { at, values } of points) {
    const value = values[index]
    if (value === null) continue
    if (last === undefined || at - last > 5000) runs.push([])
    runs.at(-1).push([at, value])
    last = at
  }
  return runs
}

function polyline(run) {
  return run.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')
}

function closed(run) {
  return `${polyline(run)}L${run.at(-1)[0].toFixed(1)} 48L${run[0][0].toFixed(1)} 48Z`
}

/** To 1, 2, 5, 10, 20, 50 and so on: a scale that does not jump with every point. */
function roundUp(number) {
  if (number <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(number))
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number)
}
