/** What every part of the page does with the document. Text only ever becomes text: nothing here makes markup of it. */

/**
 * @param {string} id
 * @returns {any} whatever kind of element has it
 */
export const byId = (id) => document.getElementById(id)

/** Writes only where something has changed: most of a large fleet stays as it is from one second to the next. */
export function setText(element, text) {
  const next = String(text)
  if (element.textContent !== next) element.textContent = next
}

export function setClass(element, name) {
  if (element.className !== name) element.className = name
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden
}

/** The one element of a template, anew. */
export function fromTemplate(id) {
  return byId(id).content.firstElementChild.cloneNode(true)
}

export function element(name, text, className) {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (className !== undefined) made.className = className
  return made
}

/** Has the children of an element in this order, and moves only those that are elsewhere. */
export function arrange(parent, children) {
  let at = parent.firstElementChild
  for (const child of children) {
    if (child === at) at = at.nextElementSibling
    else parent.insertBefore(child, at)
  }
  while (at !== null) {
    const next = at.nextElementSibling
    at.remove()
    at = next
  }
}
