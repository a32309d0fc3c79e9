/** The files of the page by name. */
export const texts: Readonly<Record<string, string>>
