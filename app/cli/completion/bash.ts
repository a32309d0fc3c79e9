import type { CompletedFlag, CompletedProgram, Follows } from './completion.ts'

/** For bash as old as 3.2, which macOS has; needs nothing of the package bash-completion. */
export function bashScript({ name, verbs, flags }: CompletedProgram): string {
  const every = new Map([...flags, ...verbs.flatMap((verb) => verb.flags)].map((flag) => [flag.name, flag]))
  const own = verbs.filter((verb) => verb.flags.length > 0 || verb.words.length > 0)
  return `# bash completion of ${name}. To use it: source <(${name} completion bash)
_vllm_router() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words=''
  local flags=${quote(namesOf(flags))}
  # --flag=value comes as three words.
  if [[ $current == "=" ]]; then
    current=''
  elif [[ $previous == "=" ]]; then
    previous="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  COMPREPLY=()
  case "$previous" in
${[...every.values()].flatMap(valueCase).join('\n')}
  esac
  case "\${COMP_WORDS[1]}" in
${own.map((verb) => `    ${verb.name}) words=${quote(verb.words.join(' '))}; flags=${quote(namesOf(verb.flags))}" $flags" ;;`).join('\n')}
  esac
  if [[ $current == -* ]]; then
    words="$flags"
  elif (( COMP_CWORD == 1 )); then
    words=${quote(verbs.map((verb) => verb.name).join(' '))}
  elif (( COMP_CWORD > 2 )); then
    words=''
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _vllm_router ${name}
`
}

function namesOf(flags: readonly CompletedFlag[]): string {
  return flags.map((flag) => flag.name).join(' ')
}

/** What is offered right behind a flag; a flag that stands alone has no case. */
function valueCase({ name, follows }: CompletedFlag): string[] {
  const reply = replyTo(follows)
  return reply === undefined ? [] : [`    ${name}) ${reply} ;;`]
}

function replyTo(follows: Follows): string | undefined {
  switch (follows.kind) {
    case 'nothing':
      return undefined
    case 'anything':
      return 'return 0'
    case 'file':
    case 'directory':
      return `compopt -o filenames 2>/dev/null; local IFS=$'\\n'; COMPREPLY=($(compgen -A ${follows.kind} -- "$current")); return 0`
    case 'words':
      return `COMPREPLY=($(compgen -W ${quote(follows.words.join(' '))} -- "$current")); return 0`
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
