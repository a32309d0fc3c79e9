/** The verb with which the program starts as one of several processes; not for people. */
export const processVerb = 'process'
