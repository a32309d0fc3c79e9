import type { CompletedFlag, CompletedProgram, CompletedVerb, Follows } from './completion.ts'

/** For the completion system of zsh: as a file of its path of functions, or read by `source` behind `compinit`. */
export function zshScript({ name, verbs, flags }: CompletedProgram): string {
  const own = verbs.filter((verb) => verb.flags.length > 0 || verb.words.length > 0)
  return `#compdef ${name}
# zsh completion of ${name}. To use it: ${name} completion zsh > "\${fpath[1]}/_${name}"
_vllm_router() {
  local -a verbs settings own
  verbs=(
${verbs.map((verb) => `    ${quote(`${verb.name}:${verb.help}`)}`).join('\n')}
  )
  settings=(
${flags.map((flag) => `    ${specOf(flag)}`).join('\n')}
  )
  own=()
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe verb verbs
    return
  fi
  case $words[2] in
${own.map(caseOf).join('\n')}
  esac
  # From here on the verb is the command.
  if [[ $words[2] != -* ]]; then
    shift words
    (( CURRENT-- ))
  fi
  _arguments $own $settings
}
if [[ $funcstack[1] == _${name} ]]; then
  _vllm_router "$@"
else
  compdef _vllm_router ${name}
fi
`
}

function caseOf({ name, words, flags }: CompletedVerb): string {
  const specs = flags.map(specOf)
  if (words.length > 0) specs.push(quote(`1:word:(${words.join(' ')})`))
  return `    ${name}) own=(${specs.join(' ')}) ;;`
}

/** Any flag may come again: lists do, and what else may not is said by the program itself. */
function specOf({ name, help, follows }: CompletedFlag): string {
  return quote(`*${name}[${help.replace(/[[\]:\\]/g, '\\$&')}]${actionOf(follows)}`)
}

function actionOf(follows: Follows): string {
  switch (follows.kind) {
    case 'nothing':
      return ''
    case 'anything':
      return ':value: '
    case 'file':
      return ':file:_files'
    case 'directory':
      return ':directory:_files -/'
    case 'words':
      return `:value:(${follows.words.join(' ')})`
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
