// Installs what tests need beside the project's own: an S3-compatible store, Python packages for the example client, a
// container engine. All but the engine goes into a cache directory outside of the checkout; what is already done is not done
// again. A machine that cannot have one of them goes without, and is told why.
//
//   node scripts/ci-services.mjs              installs; exit code 0 also when something was left out
//   node scripts/ci-services.mjs --required   exit code 1 when something was left out
//   node scripts/ci-services.mjs --where s3|python|containers
//                                             prints where it is, or nothing when there is none
//
//   LOGBOOM_CACHE   the cache directory instead of ~/.cache/logboom
import * as containerEngine from './services/container-engine.mjs';
import * as pythonClient from './services/python-client.mjs';
import * as s3Server from './services/s3-server.mjs';

const services = new Map([
  ['s3', s3Server],
  ['python', pythonClient],
  ['containers', containerEngine],
]);

const [mode, key, ...others] = process.argv.slice(2);
const isValid = mode === '--where' ? services.has(key) : key === undefined && [undefined, '--required'].includes(mode);
if (!isValid || others.length > 0) {
  console.error(`usage: node scripts/ci-services.mjs [--required | --where ${[...services.keys()].join('|')}]`);
  process.exitCode = 2;
} else if (mode === '--where') {
  const place = services.get(key).where();
  if (place !== undefined) console.log(place);
} else {
  for (const { name, consequence, install } of services.values()) {
    const problem = install();
    if (problem === undefined) continue;
    console.log(`${name}: LEFT OUT, so that ${consequence}: ${problem}.`);
    if (mode === '--required') process.exitCode = 1;
  }
}
