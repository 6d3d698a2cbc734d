/** What all nodes' object stores hold, with books about what is deleted. */
import { MemoryObjectStore } from '../memory-object-store.js';

export class SharedObjects extends MemoryObjectStore {
  /** Told of every object before it is deleted by a server. */
  onDelete: (name: string) => void = () => {};
  /** Objects that were damaged or removed on purpose. */
  readonly damaged = new Set<string>();

  override delete(...[names, options]: Parameters<MemoryObjectStore['delete']>): Promise<void> {
    for (const name of names) if (this.objects.has(name)) this.onDelete(name);
    return super.delete(names, options);
  }

  /** Replaces what is stored; undefined removes it. */
  damage(name: string, bytes: Uint8Array | undefined): void {
    const object = this.objects.get(name);
    if (object === undefined) return;
    this.damaged.add(name);
    if (bytes === undefined) this.objects.delete(name);
    else this.objects.set(name, { ...object, bytes });
  }
}
