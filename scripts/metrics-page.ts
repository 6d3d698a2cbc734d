// docs/metrics.md, from the names and help texts in the sources.
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

interface Metric {
  readonly name: string;
  readonly kind: string;
  readonly help: string;
}

const text = String.raw`'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"`;
/** `metrics.counter('name', 'help', ...)`, and the options of prom-client. */
const patterns = [
  new RegExp(String.raw`\b(counter|gauge|histogram)\(\s*'(logboom_\w+)',\s*(?:${text})`, 'g'),
  new RegExp(String.raw`new (Counter|Gauge|Histogram)\(\{\s*name: '(logboom_\w+)',\s*help: (?:${text})`, 'g'),
];

const components: readonly (readonly [prefix: string, title: string])[] = [
  ['logboom_append_', 'Appends'],
  ['logboom_read_', 'Reads'],
  ['logboom_tail', 'Tails'],
  ['logboom_grpc_', 'gRPC'],
  ['logboom_partition_', 'Partitions'],
  ['logboom_snapshot', 'Snapshots'],
  ['logboom_bootstrap', 'Replicas that begin with a snapshot'],
  ['logboom_retention_', 'Retention'],
  ['logboom_link_', 'Links between nodes'],
  ['logboom_wal_', 'Write-ahead log'],
  ['logboom_state_store_', 'State stores'],
  ['logboom_disk_', 'Disk'],
  ['logboom_security_', 'Security'],
  ['logboom_', 'Process'],
];

const introduction = `# Metrics

<!-- Made by scripts/generate-docs.ts from the sources; do not edit. -->

A node serves these as \`/metrics\` in the Prometheus text format, on its HTTP port (\`httpPort\`, by default the gRPC port + 1),
beside the usual \`process_\` and \`nodejs_\` metrics. A metric appears with its first value. Units are in the names: bytes,
seconds, and LSNs for positions in a partition's log. The persisted LSN of a partition is
\`logboom_partition_lsn{kind="persisted"}\`: what it has below the applied LSN would be replayed after power loss.

On the same port \`/healthz\` tells whether the node lives (503 when a partition has applied nothing for 30 s although it has
something to apply) and \`/readyz\` whether it serves, with reasons. \`grpc.health.v1.Health\` follows \`/readyz\`.
`;

export async function metricsPage(sourceDirectory: string): Promise<string> {
  const metrics = new Map<string, Metric>();
  for (const file of (await readdir(sourceDirectory, { recursive: true })).toSorted()) {
    if (!file.endsWith('.ts')) continue;
    const source = await readFile(path.join(sourceDirectory, file), 'utf8');
    let found = 0;
    for (const pattern of patterns) {
      for (const [, kind = '', name = '', single, double] of source.matchAll(pattern)) {
        const help = (single ?? double ?? '').replaceAll(/\\(.)/g, '$1');
        metrics.set(name, { name, kind: kind.toLowerCase(), help });
        found++;
      }
    }
    const literals = source.match(/'logboom_\w+'/g)?.length ?? 0;
    if (found !== literals)
      throw new Error(`${file}: ${literals} names of metrics, ${found} definitions were understood`);
  }
  const rest = [...metrics.values()].toSorted((left, right) => (left.name < right.name ? -1 : 1));
  const sections = components.map(([prefix, title]) => {
    const own = rest.filter(({ name }) => name.startsWith(prefix));
    for (const metric of own) rest.splice(rest.indexOf(metric), 1);
    const rows = own.map(({ name, kind, help }) => `| \`${name}\` | ${kind} | ${help} |`);
    return [`## ${title}`, '', '| metric | kind | meaning |', '| --- | --- | --- |', ...rows].join('\n');
  });
  return `${introduction}\n${sections.join('\n\n')}\n`;
}
