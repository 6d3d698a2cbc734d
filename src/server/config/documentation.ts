/** docs/configuration.md, from the table of settings. */
import { settingEntries } from './settings.js';
import type { SettingEntry } from './settings.js';

const introduction = `# Configuration

<!-- Made by scripts/generate-docs.ts from src/server/config/settings.ts; do not edit. -->

Every setting can come from four places. A flag wins over an environment variable, a variable over the configuration
file, the file over the default:

\`\`\`sh
logboom server --config logboom.yaml --wal-segment-bytes 128MiB   # flag
LOGBOOM_WAL_SEGMENT_BYTES=128MiB logboom server                   # variable
\`\`\`

\`\`\`yaml
# logboom.yaml (JSON works as well)
port: 7400
dataDir: /var/lib/logboom
wal:
  segmentBytes: 128MiB
\`\`\`

Sizes are bytes, or a number with \`KiB\`, \`MiB\`, \`GiB\`, \`TiB\` (powers of 1024) or \`KB\`, \`MB\`, \`GB\`, \`TB\` (powers of 1000).
Durations are milliseconds, or numbers with \`ms\`, \`s\`, \`m\`, \`h\`, \`d\`, as in \`1h30m\`. Unknown settings, flags and
\`LOGBOOM_\` variables are refused by name, and so are settings that contradict each other.
`;

function row({ key, flag, variable, setting }: SettingEntry): string {
  const cells = [`\`${key}\``, setting.form, setting.defaultText, setting.description, `\`${flag}\` \`${variable}\``];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

/** The whole page, ending with a line feed. */
export function configurationPage(): string {
  const sections = new Map<string, SettingEntry[]>();
  for (const entry of settingEntries) {
    const section = entry.key.includes('.') ? entry.key.slice(0, entry.key.indexOf('.')) : '';
    sections.set(section, [...(sections.get(section) ?? []), entry]);
  }
  const tables = [...sections].map(([section, entries]) =>
    [
      section === '' ? '## Node' : `## ${section}`,
      '',
      '| setting | form | default | meaning | flag and variable |',
      '| --- | --- | --- | --- | --- |',
      ...entries.map(row),
    ].join('\n'),
  );
  return `${introduction}\n${tables.join('\n\n')}\n`;
}
