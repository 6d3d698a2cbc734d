/** The results as an SVG of bars: no I/O. */
import type { System } from '../systems/system.js';
import type { Workload } from '../workloads.js';
import { digits } from './markdown.js';
import { best } from './results.js';
import type { Results } from './results.js';

const width = 900;
const labelWidth = 370;
const barWidthMax = 360;
const barHeight = 13;
const barGap = 3;
const groupGap = 14;
const headHeight = 44;
/** Told apart in shades of grey too; Logboom's is the dark one. */
const colours = ['#1f3b57', '#e08e45', '#7aa874', '#b0a8b9', '#c2573a', '#6c8ebf', '#d6b656', '#888888'];

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** The best of each workload has the longest bar; where less is better, so is a shorter time. */
export function chart(results: Results, systems: readonly System[], workloads: readonly Workload[]): string {
  const groups = workloads.flatMap((workload) => {
    const bars = systems.flatMap((system, index) => {
      const found = best(results, system.name, workload);
      return found === undefined ? [] : [{ value: found.median, colour: colours[index % colours.length] as string }];
    });
    return bars.length === 0 ? [] : [{ workload, bars }];
  });
  const note = text(width - 10, 22, 'longer is better', 'end');
  const parts: string[] = [legend(systems), note];
  let top = headHeight;
  for (const { workload, bars } of groups) {
    const { better, unit } = workload.headline;
    const values = bars.map(({ value }) => value);
    const bestValue = better === 'more' ? Math.max(...values) : Math.min(...values);
    parts.push(text(labelWidth - 8, top + barHeight - 3, workload.description, 'end'));
    for (const [index, { value, colour }] of bars.entries()) {
      const share = better === 'more' ? value / bestValue : bestValue / value;
      const length = Math.max(1, Math.round(share * barWidthMax));
      const y = top + index * (barHeight + barGap);
      parts.push(`<rect x="${labelWidth}" y="${y}" width="${length}" height="${barHeight}" fill="${colour}"/>`);
      parts.push(text(labelWidth + length + 5, y + barHeight - 3, `${digits(value)} ${unit}`, 'start'));
    }
    top += bars.length * (barHeight + barGap) + groupGap;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${top}" fill="#ffffff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function legend(systems: readonly System[]): string {
  const step = Math.floor((width - 120) / Math.max(4, systems.length));
  return systems
    .map(({ title }, index) => {
      const x = 10 + index * step;
      const colour = colours[index % colours.length] as string;
      return `<rect x="${x}" y="12" width="12" height="12" fill="${colour}"/>\n${text(x + 17, 22, title, 'start')}`;
    })
    .join('\n');
}

const text = (x: number, y: number, content: string, anchor: 'start' | 'end'): string =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#222222">${escape(content)}</text>`;
