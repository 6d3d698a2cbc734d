/** The look of the time line page. */
export const timeLineStyle = `
:root { color-scheme: light; font: 13px/1.35 system-ui, sans-serif; }
body { margin: 0; color: #1c2330; background: #fff; }
header { position: sticky; top: 0; z-index: 2; background: #fff; border-bottom: 1px solid #c8ced8; padding: 6px 12px; }
h1 { font-size: 16px; margin: 0; }
header p { margin: 3px 0; }
.outcome { white-space: pre-wrap; max-height: 9em; overflow: auto; font-family: ui-monospace, monospace; font-size: 12px; padding: 4px 6px; background: #fdecea; border-left: 4px solid #c62828; }
.outcome.passed { background: #e9f6ec; border-color: #2e7d32; }
.meaning { font-weight: 600; }
table { font: 12px ui-monospace, monospace; display: block; max-height: 45vh; overflow: auto; }
td { padding: 0 8px; white-space: nowrap; }
pre { max-height: 40vh; overflow: auto; font-size: 12px; }
.facts { color: #58606e; }
nav { display: flex; gap: 14px; align-items: center; flex-wrap: wrap; }
nav input[type=range] { width: 160px; vertical-align: middle; }
main { position: relative; overflow-x: auto; }
svg text { font: 11px system-ui, sans-serif; }
svg .message { font-size: 9.5px; fill: #8a93a3; }
svg .lsn { font-size: 9px; fill: #7a5a00; }
svg .axis { fill: #58606e; font-size: 10px; }
svg .column { font-weight: 600; font-size: 12px; }
svg .fault { fill: #b3261e; font-weight: 600; }
svg .leads { fill: #14508c; font-weight: 600; }
svg .hit { fill: #000; stroke: #ffd54f; stroke-width: 4px; paint-order: stroke; }
aside { position: fixed; right: 8px; bottom: 8px; max-width: 46em; max-height: 40vh; overflow: auto; white-space: pre-wrap; background: #1c2330; color: #fff; padding: 6px 10px; border-radius: 6px; font: 12px ui-monospace, monospace; }
`;
