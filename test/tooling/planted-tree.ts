import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const projectRoot = path.resolve(import.meta.dirname, '../..');

/** A small project with this project's own configuration, into which tests plant violations. */
export interface PlantedTree {
  readonly directory: string;
  plant(files: Readonly<Record<string, string>>): Promise<void>;
  remove(): Promise<void>;
}

/** Makes one in a temporary directory, with copies of `configurationFiles` and the installed packages. */
export async function makePlantedTree(configurationFiles: readonly string[]): Promise<PlantedTree> {
  const directory = await mkdtemp(path.join(tmpdir(), 'logboom-planted-'));
  const inTree = async (file: string): Promise<string> => {
    const target = path.join(directory, file);
    await mkdir(path.dirname(target), { recursive: true });
    return target;
  };
  for (const file of configurationFiles) await copyFile(path.join(projectRoot, file), await inTree(file));
  await symlink(path.join(projectRoot, 'node_modules'), path.join(directory, 'node_modules'), 'junction');
  return {
    directory,
    async plant(files) {
      for (const [file, text] of Object.entries(files)) await writeFile(await inTree(file), text);
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
