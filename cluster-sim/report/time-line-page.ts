/**
 * The time line of a run as one HTML page without anything from outside: time runs down, a column for the cluster, one a
 * node, one for clients. Drawn by the script of time-line-script.ts from the data that is embedded here.
 */
import { raftMutants } from '../../src/raft/index.js';
import { invariants } from '../checkers/invariants.js';
import { simulationMutants } from '../mutants.js';
import type { Plan } from '../plan.js';
import type { RunResult } from '../simulation.js';
import { timeLineScript } from './time-line-script.js';
import { timeLineStyle } from './time-line-style.js';

export interface TimeLineAbout {
  readonly commit: string;
  readonly mutant: string | undefined;
}

/** Client operations shown: those nearest to the end. */
const operationsMax = 5000;
/** Lines of the list of last moments: of what happened to nodes, and of what nodes and clients said. */
const eventsMax = 40;
const momentsMax = 60;

export function timeLinePage(result: RunResult, { commit, mutant }: TimeLineAbout): string {
  const { plan, outcome, timeLine, operations, counts, simulatedMs, traceHash } = result;
  const failedAtMs =
    outcome.type === 'violated' ? outcome.violation.atMs : 'atMs' in outcome ? outcome.atMs : simulatedMs;
  const data = {
    seed: plan.seed,
    profile: plan.profile,
    nodes: plan.nodes,
    partitions: plan.partitions,
    simulatedMs,
    failedAtMs,
    failedPartition: failedPartition(result),
    events: timeLine.events,
    samples: timeLine.samples,
    messages: timeLine.messages,
    operations: operations.slice(-operationsMax).map((operation) => ({
      client: operation.client,
      fromMs: operation.invokedMs,
      toMs: operation.returnedMs,
      stream: plan.streams[operation.stream]?.name,
      partition: plan.streams[operation.stream]?.partition,
      call: operation.call.type + ('count' in operation.call ? ` ${operation.call.count}` : ''),
      outcome: operation.withoutEffect ? 'refused, without effect' : describe(operation.outcome),
    })),
  };
  const facts = [
    `seed ${plan.seed}`,
    `profile ${plan.profile}`,
    ...(mutant === undefined ? [] : [`mutant ${mutant}`]),
    `commit ${commit}`,
    `trace ${traceHash}`,
    `${plan.nodes} nodes (voters at first: ${plan.initialVoters.join(' ')})`,
    `${plan.partitions} partitions`,
    `${(simulatedMs / 1000).toFixed(1)} s simulated`,
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Logboom simulation, seed ${plan.seed}</title>
<style>${timeLineStyle}</style>
</head>
<body>
<header>
<h1>${outcome.type === 'passed' ? 'Passed' : 'Failed'}: seed ${plan.seed}</h1>
<p class="outcome ${outcome.type}">${escape(verdictText(result))}</p>
${explanation(result, mutant)}<p class="facts">${escape(facts.join(' · '))}</p>
<details><summary>The last moments, as a list</summary><table>${lastMoments(result)}</table></details>
<details><summary>All replicas at the end</summary><pre>${escape(result.replicas)}</pre></details>
<details><summary>What happened how often</summary><p>${escape(
    Object.entries(counts)
      .map(([name, count]) => `${name}: ${count}`)
      .join(' · '),
  )}</p></details>
<details><summary>How to read this page</summary>${howToRead}</details>
<nav>
<label>scale <input id="scale" type="range" min="-2" max="4" step="0.1" value="1.5"></label>
<label>partition <select id="partition"><option value="0">all</option></select></label>
<label><input id="messages" type="checkbox" checked> messages</label>
<label><input id="operations" type="checkbox" checked> client operations</label>
<label>find <input id="find" type="search" placeholder="text of an event"></label>
<button id="end">to the failure</button>
</nav>
</header>
<main id="line"></main>
<aside id="detail">Point at something to read what it is.</aside>
<script type="application/json" id="data">${JSON.stringify(data).replaceAll('<', '\\u003c')}</script>
<script>${timeLineScript}</script>
</body>
</html>
`;
}

const howToRead = `<ul>
<li>Time runs down, in simulated seconds. The red line is where the run failed.</li>
<li>A strip a partition in each node's column: dark while the replica leads, light while it follows, hatched while it is
down. The numbers beside it are its LSNs once a second, and at the end: last entry / durable / commit / applied / persisted.
They are shown when one partition is chosen: begin with the one that the failure names.</li>
<li>Text in a node's column is what was done to it (crash, power loss, disk) and what it did (start, lead, replace entries);
the first column has what concerns all: cuts of the network, configurations, the end of the run.</li>
<li>Small grey lines are messages as they arrive; heartbeats are left out.</li>
<li>The last column has client operations, from invocation to return: green answered, grey without effect, orange without an answer.</li>
</ul>`;

/** What the invariant means, and what was broken on purpose: the message alone speaks to those who know it. */
function explanation({ outcome }: RunResult, mutant: string | undefined): string {
  const lines: string[] = [];
  if (outcome.type === 'violated') lines.push(invariants[outcome.violation.invariant]);
  if (mutant !== undefined) lines.push(`Deliberate bug: ${mutantText(mutant)}.`);
  return lines.map((line) => `<p class="meaning">${escape(line)}</p>\n`).join('');
}

function mutantText(mutant: string): string {
  return ({ ...raftMutants, ...simulationMutants } as Readonly<Record<string, string>>)[mutant] ?? mutant;
}

function momentsOf(operation: RunResult['operations'][number], plan: Plan) {
  const stream = plan.streams[operation.stream];
  const what = `p${stream?.partition} ${operation.call.type} on ${stream?.name}`;
  const where = `client ${operation.client}`;
  const asked = { atMs: operation.invokedMs, where, text: `${what}: asked` };
  if (operation.returnedMs === undefined) return [asked];
  return [asked, { atMs: operation.returnedMs, where, text: `${what}: ${describe(operation.outcome)}` }];
}

/** Undefined when the failure names none. */
function failedPartition({ outcome, plan }: RunResult): number | undefined {
  if (outcome.type !== 'violated') return undefined;
  const { message } = outcome.violation;
  const named = /partition (\d+)/.exec(message)?.[1];
  if (named !== undefined) return Number(named);
  return plan.streams.find(({ name }) => message.includes(name))?.partition;
}

/** Everything that concerns the partition of the failure, in the order in which it happened. */
function lastMoments(result: RunResult): string {
  const { timeLine, operations, plan } = result;
  const partition = failedPartition(result);
  const concerns = (text: string): boolean =>
    partition === undefined ||
    !/\bp(artition )?\d/.test(text) ||
    new RegExp(`\\bp(artition )?${partition}\\b`).test(text);
  const events = timeLine.events.map(({ atMs, nodeId, text }) => ({
    atMs,
    text,
    where: nodeId === 0 ? 'cluster' : `node ${nodeId}`,
  }));
  // Reads are many, and explain only failures of reads.
  const isOfReads = result.outcome.type === 'violated' && /read|linear/.test(result.outcome.violation.invariant);
  const messages = timeLine.messages
    .filter(({ text }) => isOfReads || !text.includes(' read-index'))
    .map(({ atMs, nodeId, text }) => ({ atMs, text, where: `node ${nodeId} receives` }));
  const calls = operations
    .filter(({ call }) => isOfReads || call.type !== 'get')
    .flatMap((operation) => momentsOf(operation, plan));
  const last = <Item extends { readonly atMs: number; readonly text: string }>(items: Item[], count: number): Item[] =>
    items
      .filter(({ text }) => concerns(text))
      .sort((a, b) => a.atMs - b.atMs)
      .slice(-count);
  return [...last(events, eventsMax), ...last([...messages, ...calls], momentsMax)]
    .sort((a, b) => a.atMs - b.atMs)
    .map(
      ({ atMs, where, text }) =>
        `<tr><td>${(atMs / 1000).toFixed(6)} s</td><td>${where}</td><td>${escape(text)}</td></tr>`,
    )
    .join('\n');
}

function verdictText({ outcome }: RunResult): string {
  switch (outcome.type) {
    case 'passed':
      return 'Every invariant held, and the cluster came back.';
    case 'violated':
      return `Invariant ${outcome.violation.invariant} is broken at ${(outcome.violation.atMs / 1000).toFixed(3)} s: ${outcome.violation.message}`;
    case 'no-liveness':
      return `No liveness at ${(outcome.atMs / 1000).toFixed(3)} s, missing is ${outcome.missing}`;
    case 'crashed':
      return `An exception that nothing caught at ${(outcome.atMs / 1000).toFixed(3)} s: ${outcome.error}`;
  }
}

function describe(outcome: RunResult['operations'][number]['outcome']): string {
  switch (outcome?.type) {
    case undefined:
      return 'no answer';
    case 'appended':
      return `appended at seq ${outcome.firstSeq}`;
    case 'seq-mismatch':
      return `refused: the stream ends at ${outcome.nextSeq}`;
    case 'found':
      return `ends at seq ${outcome.nextSeq}`;
    case 'absent':
      return 'there is no such stream';
    case 'created':
      return 'created';
    case 'deleted':
      return 'deleted';
  }
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
