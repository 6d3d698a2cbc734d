import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { loadConfiguration, settingEntries } from '../../src/server/config/index.js';
import type { ConfigurationSources } from '../../src/server/config/index.js';
import { editDistance, nearestName } from '../../src/server/config/suggest.js';
import { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from '../../src/server/config/units.js';

const mib = 2 ** 20;

/** A value other than the default for every setting, as written and as loaded. A setting without one fails its test. */
const samples: Readonly<Record<string, readonly [written: string, loaded: unknown, more?: Record<string, string>]>> = {
  nodeId: ['7', 7],
  nodeName: ['alpha', 'alpha'],
  zone: ['rack-2', 'rack-2'],
  dataDir: ['/var/lib/logboom', '/var/lib/logboom'],
  host: ['::1', '::1'],
  port: ['7500', 7500],
  httpHost: ['127.0.0.2', '127.0.0.2'],
  httpPort: ['7600', 7600],
  advertisedAddresses: ['a.example:1, [::1]:2', ['a.example:1', '[::1]:2']],
  partitions: ['16', 16],
  'cluster.nodes': [
    '2@b.example:7402, 1@[::1]:7402',
    [
      { id: 1, linkAddress: '[::1]:7402' },
      { id: 2, linkAddress: 'b.example:7402' },
    ],
  ],
  'cluster.join': ['127.0.0.1:7402,[::1]:7412', ['127.0.0.1:7402', '[::1]:7412']],
  'cluster.linkHost': ['127.0.0.2', '127.0.0.2'],
  'cluster.linkPort': ['7409', 7409],
  'cluster.linkCertificateFile': ['node.pem', 'node.pem'],
  'cluster.linkKeyFile': ['node.key', 'node.key'],
  'cluster.linkCaFile': ['ca.pem', 'ca.pem'],
  'cluster.linkServerName': ['nodes.example', 'nodes.example'],
  'cluster.replicationFactor': ['5', 5],
  'cluster.heartbeatMs': ['20', 20],
  'cluster.electionTimeoutMs': ['1s', 1000],
  'security.tokensFile': ['tokens.yaml', 'tokens.yaml'],
  'security.allowInsecureListen': ['grpc,links', ['grpc', 'links']],
  'tls.certificateFile': ['server.pem', 'server.pem'],
  'tls.keyFile': ['server.key', 'server.key'],
  'tls.clientCaFile': ['clients.pem', 'clients.pem'],
  'tls.nodeCaFile': ['nodes.pem', 'nodes.pem'],
  'limits.recordBytes': ['2MiB', 2 * mib],
  'limits.batchBytes': ['4MiB', 4 * mib],
  'limits.batchRecords': ['500', 500],
  'limits.attributesPerRecord': ['3', 3],
  'limits.attributeBytesPerRecord': ['1KiB', 1024],
  'limits.pageRecords': ['50', 50],
  'limits.streams': ['99', 99],
  'limits.producersPerStream': ['98', 98],
  'append.inFlightBytes': ['128MiB', 128 * mib],
  'append.inFlightItems': ['2000', 2000],
  'append.sessionInFlightBytes': ['9MiB', 9 * mib],
  'append.sessionInFlightItems': ['10', 10],
  'read.inFlightBytes': ['1GB', 1e9],
  'read.waitingItems': ['5', 5],
  'read.tailBytes': ['1MiB', mib],
  'read.tails': ['6', 6],
  'read.tailKeepaliveMs': ['2s', 2000],
  'wal.segmentBytes': ['128MiB', 128 * mib],
  'wal.cacheBytes': ['8MiB', 8 * mib],
  'wal.spareSegments': ['4', 4],
  'stateStore.dirtyBudgetBytes': ['200MiB', 200 * mib],
  'stateStore.flushBytes': ['16MiB', 16 * mib],
  'stateStore.flushAgeMs': ['1m', 60_000],
  'stateStore.blockCacheBytes': ['0', 0],
  'trim.mode': ['none', 'none'],
  'trim.marginEntries': ['5000', 5000],
  'trim.delayMs': ['10m', 600_000],
  'trim.bootstrapHoldMs': ['1h', 3_600_000],
  'snapshots.repository': ['/var/lib/snapshots', '/var/lib/snapshots'],
  'snapshots.automatic': ['false', false],
  'snapshots.logBytes': ['64MiB', 64 * mib],
  'snapshots.maxAgeMs': ['10m', 600_000],
  'snapshots.keep': ['5', 5],
  'snapshots.concurrent': ['2', 2],
  'snapshots.bytesPerSecond': ['50MiB', 50 * mib],
  'snapshots.collectGraceMs': ['1h', 3_600_000],
  'retention.checkIntervalMs': ['1h30m', 5_400_000],
  'producers.expiryMs': ['1d', 86_400_000],
  'disk.lowWaterMarkBytes': ['1GiB', 1024 * mib],
  'disk.checkIntervalMs': ['500', 500],
  'grpc.maxConcurrentStreams': ['77', 77],
  'grpc.keepaliveMs': ['45s', 45_000],
  'grpc.keepaliveTimeoutMs': ['3s', 3000],
  'shutdown.drainMs': ['0', 0],
  'log.level': ['debug', 'debug'],
  'log.format': ['text', 'text'],
};

function valueAt(configuration: object, key: string): unknown {
  return key.split('.').reduce<unknown>((node, name) => (node as Record<string, unknown>)[name], configuration);
}

function nested(key: string, value: unknown): unknown {
  return key.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
}

function refusal(sources: ConfigurationSources): string {
  try {
    loadConfiguration(sources);
  } catch (error) {
    if (!isLogboomError(error, 'CONFIGURATION_INVALID')) throw error;
    return error.message;
  }
  throw new Error('the configuration was accepted');
}

const threeNodes = '--cluster-nodes=1@127.0.0.1:7402,2@127.0.0.1:7412,3@127.0.0.1:7422';

const file = (text: string): ConfigurationSources => ({ file: { path: 'logboom.yaml', text } });

/** Settings that are nothing without each other. */
const together = [
  ['--cluster-link-certificate-file=a', '--cluster-link-key-file=b', '--cluster-link-ca-file=c'],
  ['--tls-certificate-file=a', '--tls-key-file=b'],
];
const needed: Readonly<Record<string, readonly string[] | undefined>> = {
  'cluster.linkCertificateFile': together[0],
  'cluster.linkKeyFile': together[0],
  'cluster.linkCaFile': together[0],
  'cluster.linkServerName': together[0],
  'tls.certificateFile': together[1],
  'tls.keyFile': together[1],
  'tls.clientCaFile': together[1],
  'tls.nodeCaFile': together[1],
};

describe('each setting', () => {
  test.each(settingEntries.map((entry) => [entry.key, entry] as const))('%s', (key, entry) => {
    const sample = samples[key];
    expect(sample, `test/server/configuration.test.ts has no sample of ${key}`).toBeDefined();
    const [written, loaded] = sample!;
    const flags = (needed[key] ?? []).filter((flag) => !flag.startsWith(`${entry.flag}=`));
    const byFlag = loadConfiguration({ flags: [entry.flag, written, ...flags] });
    expect(valueAt(byFlag.configuration, key)).toEqual(loaded);
    expect(byFlag.origins.get(key)).toBe(entry.flag);
    const oneWord = loadConfiguration({ flags: [`${entry.flag}=${written}`, ...flags] });
    expect(valueAt(oneWord.configuration, key)).toEqual(loaded);
    const byVariable = loadConfiguration({ environment: { [entry.variable]: written }, flags });
    expect(valueAt(byVariable.configuration, key)).toEqual(loaded);
    for (const value of [
      written,
      ...(typeof loaded === 'number' ? [loaded] : []),
      ...(Array.isArray(loaded) && loaded.every((item) => typeof item === 'string') ? [loaded] : []),
    ]) {
      const byFile = loadConfiguration({ ...file(JSON.stringify(nested(key, value))), flags });
      expect(valueAt(byFile.configuration, key)).toEqual(loaded);
      expect(byFile.origins.get(key)).toBe('logboom.yaml');
    }
    expect(valueAt(loadConfiguration().configuration, key)).toEqual(entry.setting.default);
  });

  test('names in all sources come from the key', () => {
    const names = settingEntries.map(({ key, flag, variable }) => [key, flag, variable]);
    expect(names).toContainEqual(['wal.segmentBytes', '--wal-segment-bytes', 'LOGBOOM_WAL_SEGMENT_BYTES']);
    expect(names).toContainEqual(['dataDir', '--data-dir', 'LOGBOOM_DATA_DIR']);
    expect(new Set(names.flat()).size).toBe(names.length * 3);
  });

  test('the defaults hold together, and every default is a value of its own setting', () => {
    expect(loadConfiguration().origins.size).toBe(0);
    for (const { key, setting } of settingEntries) {
      if (setting.default === undefined || setting.default === '') continue;
      expect(setting.schema.safeParse(setting.default).data, key).toEqual(setting.default);
    }
  });
});

describe('precedence', () => {
  test('flag over variable over file over default', () => {
    const text = 'port: 1001\nhttpPort: 2001\nlog:\n  level: warn';
    const environment = { LOGBOOM_PORT: '1002', LOGBOOM_HTTP_PORT: '2002', PATH: '/bin' };
    const { configuration } = loadConfiguration({ ...file(text), environment, flags: ['--port', '1003'] });
    expect([configuration.port, configuration.httpPort, configuration.log.level]).toEqual([1003, 2002, 'warn']);
    expect(configuration.log.format).toBe('json');
  });

  test('a file may be empty, JSON, nested or with dotted keys; a switch needs no value', () => {
    expect(loadConfiguration(file('')).origins.size).toBe(0);
    expect(loadConfiguration(file('wal: \n')).origins.size).toBe(0);
    expect(loadConfiguration(file('{"wal":{"spareSegments":5}}')).configuration.wal.spareSegments).toBe(5);
    expect(loadConfiguration(file('wal.spareSegments: 6')).configuration.wal.spareSegments).toBe(6);
    const flags = ['--security-allow-insecure-listen', '--host', '0.0.0.0'];
    expect(loadConfiguration({ flags }).configuration.security.allowInsecureListen).toEqual(['grpc', 'http', 'links']);
    const off = ['--security-allow-insecure-listen', 'false', '--port', '1'];
    expect(loadConfiguration({ flags: off }).configuration.security.allowInsecureListen).toEqual([]);
  });

  test('variables of the client and of the tests are not settings', () => {
    const environment = { LOGBOOM_ADDRESS: '127.0.0.1:1', LOGBOOM_CI_NODE24: 'off', LOGBOOM_TEST_SEED: '1' };
    expect(loadConfiguration({ environment }).origins.size).toBe(0);
  });
});

describe('what is refused, by name', () => {
  test.each<[string, ConfigurationSources, string[]]>([
    [
      'a slip in the file',
      file('wal:\n  segmentByte: 1'),
      ['wal.segmentByte', 'did you mean wal.segmentBytes?', 'logboom.yaml'],
    ],
    ['an unknown section', file('wall:\n  segmentBytes: 1'), ['wall']],
    ['a section left out', file('segmentBytes: 64MiB'), ['segmentBytes', 'did you mean wal.segmentBytes?']],
    [
      'a slip in a flag',
      { flags: ['--wal-segment-byte', '64MiB'] },
      ['--wal-segment-byte', 'did you mean --wal-segment-bytes?'],
    ],
    ['a slip in a variable', { environment: { LOGBOOM_PROT: '1' } }, ['LOGBOOM_PROT', 'did you mean LOGBOOM_PORT?']],
    ['a name like nothing', { flags: ['--zzzzzzzz=1'] }, ['--zzzzzzzz is unknown']],
    ['an argument', { flags: ['7400'] }, ['"7400" is no flag']],
    ['a flag twice', { flags: ['--port', '1', '--port', '2'] }, ['--port is given twice']],
    ['a flag without value', { flags: ['--port'] }, ['--port needs a value (number)']],
    [
      'a wrong size',
      { flags: ['--wal-segment-bytes', '64 parsecs'] },
      ['wal.segmentBytes', '64 parsecs', 'size such as 64MiB', '--wal-segment-bytes'],
    ],
    [
      'a size that is no multiple',
      { flags: ['--wal-segment-bytes', '64000001'] },
      ['wal.segmentBytes', 'not a multiple of 4KiB'],
    ],
    ['too little', { flags: ['--wal-segment-bytes', '4KiB'] }, ['wal.segmentBytes', 'below 1MiB']],
    ['too much', { environment: { LOGBOOM_PORT: '70000' } }, ['port', '70000', 'above 65535', 'LOGBOOM_PORT']],
    ['not one of', { flags: ['--log-level', 'loud'] }, ['log.level', 'debug, info, warn, error']],
    ['a wrong address', { flags: ['--advertised-addresses', 'a:1,b'] }, ['advertisedAddresses', '"b"', 'HOST:PORT']],
    ['a list for a number', file('port: [1, 2]'), ['port', '[1,2]', 'number']],
    ['a section for a number', file('port:\n  a: 1'), ['port', 'number']],
    ['a number for a section', file('wal: 12'), ['wal', 'section']],
    ['a key twice', file('port: 1\nport: 2'), ['logboom.yaml', 'unique']],
    ['a key in two forms', file('wal.spareSegments: 1\nwal:\n  spareSegments: 2'), ['wal.spareSegments is set twice']],
    ['a list of settings', file('- port'), ['logboom.yaml', 'a list']],
    ['broken YAML', file('port: [1'), ['logboom.yaml is neither YAML nor JSON']],
    ['a control character', { flags: ['--zone', 'a\u0000b'] }, ['zone', 'control characters']],
    ['several at once', { flags: ['--a=1', '--port=x'] }, ['2 faults', '--a', 'port']],
  ])('%s', (_name, sources, parts) => {
    const message = refusal(sources);
    for (const part of parts) expect(message).toContain(part);
  });
});

describe('contradictions name both settings and where they come from', () => {
  test.each<[readonly string[], string[]]>([
    [
      ['--limits-record-bytes=16MiB'],
      ['limits.recordBytes', 'limits.batchBytes', 'by --limits-record-bytes', 'is the default'],
    ],
    [
      ['--limits-attribute-bytes-per-record=1MiB', '--limits-record-bytes=64KiB'],
      ['limits.attributeBytesPerRecord', 'limits.recordBytes'],
    ],
    [['--wal-segment-bytes=16MiB'], ['wal.segmentBytes (16MiB)', 'limits.batchBytes (8MiB)', 'half of a segment']],
    [['--append-session-in-flight-bytes=1MiB'], ['append.sessionInFlightBytes', 'limits.batchBytes']],
    [['--append-in-flight-bytes=8MiB'], ['append.inFlightBytes', 'append.sessionInFlightBytes']],
    [['--append-in-flight-items=10'], ['append.inFlightItems (10)', 'append.sessionInFlightItems (1024)']],
    [['--state-store-dirty-budget-bytes=4MiB'], ['stateStore.dirtyBudgetBytes', 'stateStore.flushBytes']],
    [['--disk-low-water-mark-bytes=1MiB'], ['disk.lowWaterMarkBytes', 'stateStore.dirtyBudgetBytes']],
    [['--port=9000', '--http-port=9000'], ['port and httpPort are both 9000']],
    [['--port=65535'], ['httpPort', '65536']],
    [
      ['--host=0.0.0.0'],
      ['gRPC would listen on 0.0.0.0', 'tls.certificateFile and security.tokensFile', 'security.allowInsecureListen'],
    ],
    [['--host=10.0.0.1'], ['gRPC would listen on 10.0.0.1', 'no encryption and no authentication']],
    [['--host=10.0.0.1', '--security-allow-insecure-listen=http,links'], ['gRPC would listen on 10.0.0.1']],
    [
      ['--host=10.0.0.1', '--security-tokens-file=t'],
      ['without tls.certificateFile', 'whoever listens on the way reads the tokens'],
    ],
    [
      ['--host=10.0.0.1', '--tls-certificate-file=c', '--tls-key-file=k'],
      ['without security.tokensFile or tls.clientCaFile'],
    ],
    [['--http-host=10.0.0.1'], ['HTTP would listen on 10.0.0.1', 'never encrypted', 'security.allowInsecureListen']],
    [['--http-host=10.0.0.1', '--security-allow-insecure-listen=grpc'], ['HTTP would listen on 10.0.0.1']],
    [['--tls-certificate-file=c'], ['tls.certificateFile needs tls.keyFile']],
    [['--tls-key-file=k'], ['tls.keyFile needs tls.certificateFile']],
    [['--tls-client-ca-file=k'], ['tls.clientCaFile needs tls.certificateFile']],
    [['--tls-node-ca-file=k'], ['tls.nodeCaFile needs tls.certificateFile']],
    [['--cluster-link-key-file=k'], ['cluster.linkKeyFile needs cluster.linkCertificateFile and cluster.linkCaFile']],
    [['--cluster-link-server-name=n'], ['cluster.linkServerName needs cluster.linkCertificateFile']],
    [['--cluster-nodes=1@a:1'], ['cluster.nodes has one node']],
    [['--cluster-nodes=1@a:1,1@b:1'], ['cluster.nodes has node 1 twice']],
    [['--cluster-nodes=1@a:1,2@a:1'], ['cluster.nodes has address a:1 twice']],
    [['--cluster-nodes=2@a:1,3@b:1'], ['nodeId is 1', 'cluster.nodes has only 2, 3']],
    [[`--cluster-nodes=${[1, 2, 3, 4, 5, 6, 7, 8].map((id) => `${id}@a:${id}`).join(',')}`], ['at most 7']],
    [
      [threeNodes, '--cluster-replication-factor=4'],
      ['cluster.replicationFactor is 4', 'cluster.nodes has 3 nodes'],
    ],
    [[threeNodes, '--port=0'], ['port is 0 and cluster.nodes is set']],
    [[threeNodes, '--cluster-link-port=7401'], ['httpPort and the port of links are both 7401']],
    [[threeNodes, '--cluster-link-port=7400'], ['port and the port of links are both 7400']],
    [[threeNodes, '--port=65534'], ['cluster.linkPort, not set, would be 65536']],
    [
      [threeNodes, '--cluster-link-host=10.0.0.1'],
      ['links listen on 10.0.0.1', 'without cluster.linkCertificateFile', 'security.allowInsecureListen'],
    ],
    [
      [threeNodes, '--cluster-link-host=10.0.0.1', '--security-allow-insecure-listen=grpc,http'],
      ['links listen on 10.0.0.1'],
    ],
    [
      [threeNodes, '--host=10.0.0.1', '--security-tokens-file=t', '--tls-certificate-file=c', '--tls-key-file=k'],
      ['links listen on 10.0.0.1'],
    ],
    [
      [threeNodes, '--cluster-heartbeat-ms=300'],
      ['cluster.electionTimeoutMs (500 ms)', 'cluster.heartbeatMs (300 ms)'],
    ],
  ])('%j', (flags, parts) => {
    const message = refusal({ flags });
    for (const part of parts) expect(message).toContain(part);
  });

  test.each([
    [['--host=0.0.0.0', '--security-allow-insecure-listen']],
    [['--host=0.0.0.0', '--security-allow-insecure-listen=grpc']],
    [['--http-host=0.0.0.0', '--security-allow-insecure-listen=http']],
    [['--host=0.0.0.0', '--security-tokens-file=t', '--tls-certificate-file=c', '--tls-key-file=k']],
    [['--host=0.0.0.0', '--tls-client-ca-file=a', '--tls-certificate-file=c', '--tls-key-file=k']],
    [
      [
        threeNodes,
        '--cluster-link-host=10.0.0.1',
        '--cluster-link-certificate-file=c',
        '--cluster-link-key-file=k',
        '--cluster-link-ca-file=a',
      ],
    ],
    [[threeNodes, '--cluster-link-host=10.0.0.1', '--security-allow-insecure-listen', 'links']],
    [['--host=localhost']],
    [['--host=127.8.8.8']],
    [['--host=[::1]']],
    [['--port=0', '--http-port=0']],
    [['--disk-low-water-mark-bytes=0']],
    [[threeNodes]],
    [[threeNodes, '--node-id=3', '--cluster-replication-factor=3', '--cluster-link-port=9999']],
    [[threeNodes, '--cluster-link-host=10.0.0.1', '--security-allow-insecure-listen']],
    [['--wal-segment-bytes=1MiB', '--limits-batch-bytes=256KiB', '--limits-record-bytes=64KiB']],
  ])('%j is none', (flags) => {
    expect(() => loadConfiguration({ flags })).not.toThrow();
  });
});

describe('units', () => {
  test.each([
    ['64MiB', 64 * mib],
    ['1.5 KiB', 1536],
    ['3gb', 3e9],
    ['17', 17],
    ['0B', 0],
    ['1.5B', undefined],
    ['MiB', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    ['9999999TiB', undefined],
  ])('%s', (text, bytes) => expect(parseBytes(text)).toBe(bytes));

  test.each([
    ['10s', 10_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['250', 250],
    ['7d', 604_800_000],
    ['s', undefined],
    ['10 parsecs', undefined],
    ['1.0001s', undefined],
  ])('%s', (text, durationMs) => expect(parseDurationMs(text)).toBe(durationMs));

  test('what is written is read', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        expect(parseBytes(formatBytes(value))).toBe(value);
        expect(parseDurationMs(formatDurationMs(value))).toBe(value);
      }),
    );
  });
});

test('suggestions are near or not made', () => {
  expect(editDistance('kitten', 'sitting')).toBe(3);
  expect(nearestName('prot', ['port', 'host'])).toBe('port');
  expect(nearestName('completely-different', ['port', 'host'])).toBeUndefined();
});

test('no text and no arguments end in anything but a configuration or CONFIGURATION_INVALID', () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(
      'port: 1',
      'wal:',
      '  segmentBytes: 64MiB',
      '{',
      '- a',
      '&a [*a]',
      '__proto__: 1',
      'wal: {constructor: 2}',
      '? a',
      '!!binary x',
    ),
  );
  const argument = fc.oneof(fc.string(), fc.constantFrom('--port', '--port=', '--wal-segment-bytes', '=', '--'));
  fc.assert(
    fc.property(fc.array(piece), fc.array(argument), (lines, flags) => {
      try {
        loadConfiguration({ ...file(lines.join('\n')), flags });
      } catch (error) {
        if (!isLogboomError(error, 'CONFIGURATION_INVALID')) throw error;
      }
    }),
    { numRuns: 500 },
  );
});
