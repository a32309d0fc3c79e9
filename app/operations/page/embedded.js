// Not sent to browsers: by these imports a program that Bun compiles carries the page within itself.
import adminJs from './admin.js' with { type: 'text' }
import chartJs from './chart.js' with { type: 'text' }
import configJs from './config.js' with { type: 'text' }
import domJs from './dom.js' with { type: 'text' }
import eventsJs from './events.js' with { type: 'text' }
import feedJs from './feed.js' with { type: 'text' }
import fleetJs from './fleet.js' with { type: 'text' }
import fleetStateJs from './fleet-state.js' with { type: 'text' }
import iconSvg from './icon.svg' with { type: 'text' }
import indexHtml from './index.html' with { type: 'text' }
import mainJs from './main.js' with { type: 'text' }
import playgroundJs from './playground.js' with { type: 'text' }
import requestsJs from './requests.js' with { type: 'text' }
import styleCss from './style.css' with { type: 'text' }
import wordsJs from './words.js' with { type: 'text' }
import workersJs from './workers.js' with { type: 'text' }

export const texts = {
  'admin.js': adminJs,
  'chart.js': chartJs,
  'config.js': configJs,
  'dom.js': domJs,
  'events.js': eventsJs,
  'feed.js': feedJs,
  'fleet.js': fleetJs,
  'fleet-state.js': fleetStateJs,
  'icon.svg': iconSvg,
  'index.html': indexHtml,
  'main.js': mainJs,
  'playground.js': playgroundJs,
  'requests.js': requestsJs,
  'style.css': styleCss,
  'words.js': wordsJs,
  'workers.js': workersJs,
}
