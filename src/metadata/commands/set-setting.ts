import { clusterSettings, settingProblem } from '../settings.js';
import type { RefusedResult } from '../types.js';
import { accepted, refused, versionRefusal } from './apply-context.js';
import type { ApplyContext, CommandDefinition } from './apply-context.js';
import type { SetSettingCommand } from './commands.js';
import { activeNodes } from './node-description.js';

export const setSetting: CommandDefinition<SetSettingCommand> = {
  type: 11,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.name, command.value ?? null, command.expectedVersion ?? null],

  decode: (header) => ({
    type: 'set-setting',
    name: header.text(),
    value: header.optionalText(),
    expectedVersion: header.optionalInteger(),
  }),

  apply(command, context) {
    const { draft } = context;
    const { name, value } = command;
    const current = draft.settings.get(name);
    if (value !== undefined) {
      const problem = settingProblem(name, value, draft.cluster?.featureLevel ?? 0);
      if (problem !== undefined) return refused('CONFIGURATION_INVALID', problem, { setting: name });
    }
    if (current?.value === value) return accepted;
    const refusal = versionRefusal(`Setting ${name}`, current?.version ?? 0, command.expectedVersion);
    if (refusal !== undefined) return refusal;
    draft.putSetting(name, value);
    return factorRefusal(name, context) ?? accepted;
  },
};

function factorRefusal(name: string, context: ApplyContext): RefusedResult | undefined {
  if (name !== 'replication-factor') return undefined;
  const { replicationFactor } = clusterSettings(context.draft.settings);
  const nodes = activeNodes(context).length;
  if (replicationFactor <= nodes) return undefined;
  return refused(
    'REPLICATION_FACTOR_TOO_HIGH',
    `Replication factor ${replicationFactor} needs as many active nodes; there are ${nodes}.`,
    { replication_factor: replicationFactor, active_nodes: nodes },
  );
}
