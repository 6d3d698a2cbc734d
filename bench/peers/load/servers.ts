import { anonymousBytesOf, cpuSecondsOf } from '../../support/proc.js';

const sampleMs = 250;

/** What the three servers and this process take, from `begin` to `end`. */
export class Consumption {
  readonly #pids: readonly number[];
  #serverCpuSeconds = 0;
  #clientCpu = process.cpuUsage();
  #memoryBytesMax = 0;
  #sampler: NodeJS.Timeout | undefined;

  constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  begin(): void {
    this.#serverCpuSeconds = this.#sum(cpuSecondsOf);
    this.#clientCpu = process.cpuUsage();
    this.#sampler = setInterval(() => this.#sample(), sampleMs);
  }

  /** @param bytes of the records in between */
  end(bytes: number): Readonly<Record<string, number>> {
    clearInterval(this.#sampler);
    this.#sample();
    const mb = bytes / 1e6;
    const { user, system } = process.cpuUsage(this.#clientCpu);
    return {
      serverCpuMsPerMb: ((this.#sum(cpuSecondsOf) - this.#serverCpuSeconds) * 1000) / mb,
      clientCpuMsPerMb: (user + system) / 1000 / mb,
      serverMemoryMb: this.#memoryBytesMax / 1e6,
    };
  }

  #sample(): void {
    this.#memoryBytesMax = Math.max(this.#memoryBytesMax, this.#sum(anonymousBytesOf));
  }

  #sum(of: (pid: number) => number): number {
    return this.#pids.reduce((total, pid) => total + of(pid), 0);
  }
}
