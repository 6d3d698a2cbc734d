/** Commands that change who belongs to a cluster. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ClusterSetting, LogboomClient, MemberInfo, Membership } from '../../client/index.js';
import { positiveArgument, makeContext, toJsonLine, withClient, withCommonOptions } from '../context.js';
import type { CommandContext, CommonOptions } from '../context.js';
import { UsageError } from '../failure.js';
import { plural } from '../format.js';
import type { CommandIo } from '../io.js';

const waitPollMs = 500;

const addExamples = `
A node is let in by itself where links show a name that only nodes have, or
where they are open (docs/cluster.md). Otherwise it waits, and this command lets
it in. Start it first, with an empty data directory:

  logboom server --node-id 4 --data-dir data-4 --cluster-join HOST:PORT

Examples:
  logboom cluster status
  logboom cluster add 4
`;

const drainExamples = `
Moves its replicas to the other nodes, one after another, and what it leads
first. Needs as many other nodes as the replication factor. Appends and reads
go on.

Examples:
  logboom cluster drain 1 --wait && logboom cluster remove 1
  logboom cluster drain 1 --cancel
`;

const removeExamples = `
The node ends by itself, and its data directory never comes back; an empty one
may join under the same node id.

Examples:
  logboom cluster drain 1 --wait && logboom cluster remove 1
`;

const replaceExamples = `
For a node whose disk is lost. Its old data must be gone for good: what it had
acknowledged and voted for is not in the new directory, so its replicas are
made anew, under other ids. Start the new one first, with an empty data
directory and the node id of the lost one; it waits for this command.

Examples:
  logboom server --node-id 2 --data-dir new-data-2 --cluster-join HOST:PORT
  logboom cluster replace 2
`;

const setExamples = `
Without a value: back to the default. Settings, with what is in force, are in
\`logboom cluster status --output json\`; docs/cluster.md says what each means.

Examples:
  logboom cluster set replication-factor 3
  logboom cluster set dead-node-delay-ms 600000
  logboom cluster set moves-max
`;

export function addMemberCommands(cluster: Command, io: CommandIo): void {
  const withNode = (name: string, description: string, help: string): Command =>
    withCommonOptions(
      cluster.command(name).description(description).argument('<node>', 'its node id', positiveArgument),
      io,
      ['text', 'json'],
    ).addHelpText('after', help);
  withNode('add', 'let in a node that waits to be approved', addExamples).action((id: number, options: CommonOptions) =>
    change(
      io,
      options,
      (client) => client.cluster.addNode(id),
      ({ name }) => `${name} is let in`,
    ),
  );
  withNode('drain', 'move everything off a node', drainExamples)
    .option('--cancel', 'let it be used again')
    .option('-w, --wait', 'until it holds nothing any more')
    .action((id: number, options: DrainOptions) => drain(io, id, options));
  withNode('remove', 'take an empty node out of the cluster, for good', removeExamples).action(
    (id: number, options: CommonOptions) =>
      change(
        io,
        options,
        (client) => client.cluster.removeNode(id),
        ({ name }) => `${name} is removed`,
      ),
  );
  withNode('replace', 'give up the data of a node for an empty one', replaceExamples).action(
    (id: number, options: CommonOptions) =>
      change(
        io,
        options,
        (client) => client.cluster.replaceNode(id),
        ({ name }) => `${name} is replaced, and gets its replicas`,
      ),
  );
  const set = cluster
    .command('set')
    .description('change a setting of the whole cluster')
    .argument('<name>', 'of the setting')
    .argument('[value]', 'without it, the default')
    .addHelpText('after', setExamples)
    .action((name: string, value: string | undefined, options: CommonOptions) => setSetting(io, options, name, value));
  withCommonOptions(set, io, ['text', 'json']);
}

interface DrainOptions extends CommonOptions {
  readonly cancel?: boolean;
  readonly wait?: boolean;
}

async function change(
  io: CommandIo,
  options: CommonOptions,
  action: (client: LogboomClient) => Promise<MemberInfo>,
  text: (member: MemberInfo) => string,
): Promise<void> {
  const context = makeContext(io, options.output);
  await withClient(options, async (client) => writeMember(context, await action(client), text));
}

async function writeMember(
  { format, output }: CommandContext,
  member: MemberInfo,
  text: (member: MemberInfo) => string,
): Promise<void> {
  await output.write(format === 'json' ? toJsonLine(member) : `node ${member.id}: ${text(member)}\n`);
}

async function drain(io: CommandIo, id: number, options: DrainOptions): Promise<void> {
  const { cancel = false, wait = false } = options;
  if (cancel && wait) throw new UsageError('--wait is for a node that is emptied, not with --cancel');
  const context = makeContext(io, options.output);
  const { signal } = context;
  await withClient(options, async (client) => {
    let member: MemberInfo = await client.cluster.drainNode(id, { cancel, signal });
    if (!wait) {
      return writeMember(context, member, ({ name, replicas }) =>
        cancel ? `${name} is used again` : `${name} is emptied, ${plural(replicas, 'replica')} to go`,
      );
    }
    let told = -1;
    while (member.replicas > 0 && member.state === 'draining') {
      if (member.replicas !== told) context.note(`${member.name}: ${plural(member.replicas, 'replica')} to go`);
      told = member.replicas;
      await sleep(waitPollMs, undefined, { signal });
      member = memberOf(await client.cluster.membership({ signal }), id) ?? member;
    }
    await writeMember(context, member, ({ name, state }) =>
      state === 'draining' ? `${name} is empty` : `${name} is ${state}`,
    );
  });
}

const memberOf = ({ members }: Membership, id: number): MemberInfo | undefined =>
  members.find((member) => member.id === id);

async function setSetting(
  io: CommandIo,
  options: CommonOptions,
  name: string,
  value: string | undefined,
): Promise<void> {
  const context = makeContext(io, options.output);
  await withClient(options, async (client) => {
    const setting: ClusterSetting = await client.cluster.setSetting(name, value, { signal: context.signal });
    const text = `${setting.name} is ${setting.value}${setting.isDefault ? ', the default' : ''}\n`;
    await context.output.write(context.format === 'json' ? toJsonLine(setting) : text);
  });
}
