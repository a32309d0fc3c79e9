import type { CompletedFlag, CompletedProgram, Follows } from './completion.ts'

/** One `complete` for each verb and flag. */
export function fishScript({ name, verbs, flags }: CompletedProgram): string {
  const behind = (verb: string) => `-n ${quote(`__fish_seen_subcommand_from ${verb}`)} `
  const complete = (rest: string) => `complete -c ${name} ${rest}`
  const lines = [
    `# fish completion of ${name}. To use it: ${name} completion fish > ~/.config/fish/completions/${name}.fish`,
    complete('-f'),
    ...verbs.map((verb) => complete(`-n __fish_use_subcommand -a ${verb.name} -d ${quote(verb.help)}`)),
    ...verbs.flatMap((verb) => [
      ...(verb.words.length === 0 ? [] : [complete(`${behind(verb.name)}-a ${quote(verb.words.join(' '))}`)]),
      ...verb.flags.map((flag) => complete(behind(verb.name) + flagOf(flag))),
    ]),
    ...flags.map((flag) => complete(flagOf(flag))),
  ]
  return `${lines.join('\n')}\n`
}

function flagOf({ name, help, follows }: CompletedFlag): string {
  return `-l ${name.replace(/^--/, '')} ${optionsOf(follows)}-d ${quote(help)}`
}

function optionsOf(follows: Follows): string {
  switch (follows.kind) {
    case 'nothing':
      return ''
    case 'anything':
      return '-x '
    case 'file':
      return '-r -F '
    case 'directory':
      return `-x -a '(__fish_complete_directories)' `
    case 'words':
      return `-x -a ${quote(follows.words.join(' '))} `
  }
}

function quote(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`
}
