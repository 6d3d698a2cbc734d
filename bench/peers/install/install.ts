/**
 * Brings what Logboom is compared with onto this machine, by the ordinary clients of package registries: Go modules, Maven
 * artefacts, npm packages. What is there is left as it is; what cannot be had is named, with the reason, and left out.
 */
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { directories, peersRoot } from './directories.js';
import { versions } from './versions.js';

export type Part = 'nats' | 'etcd' | 'kafka' | 'clients';

interface Recipe {
  readonly title: string;
  /** Relative to its directory: what makes it complete. */
  readonly proof: string;
  readonly install: (directory: string) => Promise<void>;
}

const outputCharactersMax = 600;

const recipes: Readonly<Record<Part, Recipe>> = {
  nats: {
    title: `nats-server ${versions.nats} (Go module)`,
    proof: 'nats-server',
    install: (directory) =>
      run('go', ['install', `github.com/nats-io/nats-server/v2@v${versions.nats}`], directory, { GOBIN: directory }),
  },
  etcd: {
    title: `etcd ${versions.etcd} (Go module)`,
    proof: 'etcd',
    install: async (directory) => {
      // `go install` refuses a module with replacements in its go.mod; as a dependency it builds.
      const module = path.join(directory, 'build');
      mkdirSync(module);
      writeFileSync(path.join(module, 'main.go'), 'package build\n\nimport _ "go.etcd.io/etcd/server/v3"\n');
      await run('go', ['mod', 'init', 'build'], module);
      await run('go', ['get', `go.etcd.io/etcd/server/v3@v${versions.etcd}`], module);
      await run('go', ['build', '-o', path.join(directory, 'etcd'), 'go.etcd.io/etcd/server/v3'], module);
      rmSync(module, { recursive: true });
    },
  },
  kafka: {
    title: `Kafka ${versions.kafka} (Maven artefacts)`,
    proof: `libs/kafka_2.13-${versions.kafka}.jar`,
    install: async (directory) => {
      writeFileSync(path.join(directory, 'pom.xml'), kafkaPom);
      await run('java', ['-version'], directory);
      await run(
        'mvn',
        ['-q', '-B', 'dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=libs'],
        directory,
      );
    },
  },
  clients: {
    title: 'the Node clients of all of them (npm)',
    proof: 'node_modules/.package-lock.json',
    install: async (directory) => {
      for (const file of ['package.json', 'package-lock.json'])
        copyFileSync(path.join(peersRoot, file), path.join(directory, file));
      // Resolves the clients from where they are installed, for whoever imports it.
      writeFileSync(path.join(directory, 'load.mjs'), 'export const load = (specifier) => import(specifier);\n');
      await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], directory);
    },
  },
};

const kafkaPom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>logboom.bench</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${versions.kafka}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`;

/** @returns undefined when it is there now, or why it cannot be had */
export async function ensureInstalled(part: Part, say: (line: string) => void): Promise<string | undefined> {
  const directory = directories[part];
  const { title, proof, install } = recipes[part];
  if (existsSync(path.join(directory, proof))) return undefined;
  say(`installing ${title} into ${directory}`);
  mkdirSync(directories.cache, { recursive: true });
  const staging = mkdtempSync(path.join(directories.cache, 'installing-'));
  try {
    await install(staging);
    if (!existsSync(path.join(staging, proof)))
      return `${proof} is not among what was installed: ${readdirSync(staging).join(', ')}`;
    // Whole or not at all: an interrupted installation starts over.
    rmSync(directory, { recursive: true, force: true });
    renameSync(staging, directory);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function run(program: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    // Not what the surroundings say of modules and folders: the recipe alone decides.
    const child = spawn(program, args, { cwd, env: { ...process.env, GOFLAGS: '', GOBIN: '', ...env } });
    let output = '';
    const collect = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-outputCharactersMax));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', (error) => reject(new Error(`${program} cannot be run: ${error.message}`)));
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ${args.join(' ')} ended with ${code}: ${output.trim()}`));
    });
  });
}
