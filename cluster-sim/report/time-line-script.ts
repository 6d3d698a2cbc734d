/** The script of the time line page: plain browser JavaScript, drawn anew for the part that is in view. */
export const timeLineScript = String.raw`
const data = JSON.parse(document.getElementById('data').textContent);
const line = document.getElementById('line');
const detail = document.getElementById('detail');
const scale = document.getElementById('scale');
const partition = document.getElementById('partition');
for (let id = 1; id <= data.partitions; id++) partition.add(new Option('p' + id, id));
if (data.failedPartition) partition.value = String(data.failedPartition);
const axisWidth = 70, clusterWidth = 240, nodeWidth = 330, clientsWidth = 420;
const width = axisWidth + clusterWidth + data.nodes * nodeWidth + clientsWidth;
const left = (nodeId) => nodeId <= 0 ? axisWidth : axisWidth + clusterWidth + (nodeId - 1) * nodeWidth;
const clientsLeft = left(data.nodes + 1);
const colors = ['#14508c', '#2e7d32', '#8e24aa', '#ef6c00', '#00838f'];
const faultWords = /crash|power loss|cut|fails|full|hang|wiped|rot|pause|isolate|one-way|halves|bridge|chain|ring|deaf|mute|slow|BROKEN|jumps|drifts|damaged|stops|reopened|stop/;
const pxPerMs = () => Math.pow(10, Number(scale.value)) / 1000 * 10;
const y = (ms) => 30 + ms * pxPerMs();
const escapeText = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;');
const shorten = (text, chars) => text.length > chars ? text.slice(0, chars - 1) + '…' : text;
const shown = (text) => partition.value === '0' || !/\bp(artition )?\d/.test(text) || new RegExp('\\bp(artition )?' + partition.value + '\\b').test(text);
const endMs = Math.max(data.simulatedMs, data.failedAtMs);

/** The last sample of a replica holds until its next one. */
const strips = new Map();
for (const sample of data.samples) {
  const key = sample.nodeId + '/' + sample.partitionId;
  if (!strips.has(key)) strips.set(key, []);
  strips.get(key).push(sample);
}

function inView(list, time, fromMs, toMs) {
  let low = 0, high = list.length;
  while (low < high) { const middle = (low + high) >> 1; if (time(list[middle]) < fromMs) low = middle + 1; else high = middle; }
  const found = [];
  for (let at = low; at < list.length && time(list[at]) <= toMs; at++) found.push(list[at]);
  return found;
}

function draw() {
  const topPx = window.scrollY - line.offsetTop;
  const fromMs = Math.max(0, (topPx - 400) / pxPerMs()), toMs = (topPx + window.innerHeight + 400) / pxPerMs();
  const parts = [];
  const find = document.getElementById('find').value.toLowerCase();
  for (let column = 0; column <= data.nodes + 1; column++) {
    const x = column === 0 ? axisWidth : column > data.nodes ? clientsLeft : left(column);
    const name = column === 0 ? 'cluster' : column > data.nodes ? 'clients' : 'node ' + column;
    parts.push('<line x1="' + x + '" x2="' + x + '" y1="0" y2="' + y(endMs) + '" stroke="#dde2ea"/>');
    parts.push('<text class="column" x="' + (x + 6) + '" y="' + Math.max(16, topPx + 16) + '">' + name + '</text>');
  }
  const stepMs = Math.max(1, Math.pow(10, Math.ceil(Math.log10(40 / pxPerMs()))));
  for (let ms = Math.floor(fromMs / stepMs) * stepMs; ms <= Math.min(toMs, endMs); ms += stepMs) {
    parts.push('<text class="axis" x="4" y="' + (y(ms) + 4) + '">' + (ms / 1000).toFixed(stepMs < 1000 ? 3 : 0) + ' s</text>');
    parts.push('<line x1="56" x2="' + width + '" y1="' + y(ms) + '" y2="' + y(ms) + '" stroke="#f0f2f6"/>');
  }
  for (const [key, samples] of strips) {
    const [nodeId, partitionId] = key.split('/').map(Number);
    if (partition.value !== '0' && Number(partition.value) !== partitionId) continue;
    const x = left(nodeId) + 6 + (partitionId - 1) * 12;
    const color = colors[(partitionId - 1) % colors.length];
    let lastLabelY = -100;
    let lastMs = Math.max(0, fromMs - 2000);
    for (const sample of inView(samples, (one) => one.atMs, fromMs - 1000, toMs + 1000)) {
      const sinceMs = Math.max(lastMs, sample.atMs - 1000);
      lastMs = sample.atMs;
      const opacity = sample.role === 'leader' ? 1 : sample.role === 'follower' ? 0.25 : 0;
      const text = 'p' + partitionId + ' on node ' + nodeId + ': ' + sample.role + ', term ' + sample.term + ', last entry ' + sample.last + ', durable ' + sample.durable + ', commit ' + sample.commit + ', applied ' + sample.applied + ', persisted ' + sample.persisted;
      parts.push('<rect data-text="' + text + '" x="' + x + '" y="' + y(sinceMs) + '" width="9" height="' + ((sample.atMs - sinceMs) * pxPerMs() + 0.5) + '" fill="' + (opacity ? color : '#c62828') + '" fill-opacity="' + (opacity || 0.5) + '"/>');
      if (y(sample.atMs) - lastLabelY > 11 && (partition.value !== '0' || data.partitions === 1)) {
        lastLabelY = y(sample.atMs);
        parts.push('<text class="lsn" data-text="' + text + '" x="' + (left(nodeId) + 46) + '" y="' + y(sample.atMs) + '">' + sample.last + '/' + sample.durable + '/' + sample.commit + '/' + sample.applied + '/' + sample.persisted + '</text>');
      }
    }
  }
  const labelled = new Map();
  const place = (column, atMs, gap) => { const wanted = y(atMs) + 4; const at = Math.max(wanted, (labelled.get(column) ?? -100) + gap); if (at > wanted + 300) return undefined; labelled.set(column, at); return at; };
  for (const event of inView(data.events, (one) => one.atMs, fromMs, toMs)) {
    if (!shown(event.text)) continue;
    const at = place(event.nodeId, event.atMs, 12);
    if (at === undefined) continue;
    const x = left(event.nodeId) + (event.nodeId > 0 ? 100 : 6);
    const kind = find && event.text.toLowerCase().includes(find) ? 'hit' : /leads partition/.test(event.text) ? 'leads' : faultWords.test(event.text) ? 'fault' : '';
    const full = (event.atMs / 1000).toFixed(6) + ' s  ' + event.text;
    parts.push('<line x1="' + left(event.nodeId) + '" x2="' + (x - 2) + '" y1="' + y(event.atMs) + '" y2="' + (at - 4) + '" stroke="#b9c1cf"/>');
    parts.push('<text class="' + kind + '" data-text="' + escapeText(full).replace(/"/g, '&quot;') + '" x="' + x + '" y="' + at + '">' + escapeText(shorten(event.text, event.nodeId > 0 ? 40 : 38)) + '</text>');
  }
  if (document.getElementById('messages').checked) {
    for (const message of inView(data.messages, (one) => one.atMs, fromMs, toMs)) {
      if (!shown(message.text)) continue;
      const at = place(message.nodeId, message.atMs, 10);
      if (at === undefined) continue;
      parts.push('<text class="message" data-text="' + (message.atMs / 1000).toFixed(6) + ' s, arrives at node ' + message.nodeId + ': ' + escapeText(message.text) + '" x="' + (left(message.nodeId) + 100) + '" y="' + at + '">' + escapeText(shorten(message.text, 46)) + '</text>');
    }
  }
  if (document.getElementById('operations').checked) {
    for (const operation of data.operations) {
      const toOf = operation.toMs ?? endMs;
      if (toOf < fromMs || operation.fromMs > toMs) continue;
      if (partition.value !== '0' && Number(partition.value) !== operation.partition) continue;
      const x = clientsLeft + 8 + (operation.client % 12) * 32;
      const color = operation.toMs === undefined ? '#ef6c00' : operation.outcome.startsWith('refused, without') ? '#9aa3b2' : '#2e7d32';
      const text = 'client ' + operation.client + ': ' + operation.call + ' on ' + operation.stream + ' (p' + operation.partition + '), ' + (operation.fromMs / 1000).toFixed(6) + ' s to ' + (operation.toMs === undefined ? '?' : (operation.toMs / 1000).toFixed(6) + ' s') + ': ' + operation.outcome;
      parts.push('<rect data-text="' + escapeText(text) + '" x="' + x + '" y="' + y(operation.fromMs) + '" width="26" height="' + Math.max(2, (toOf - operation.fromMs) * pxPerMs()) + '" fill="' + color + '" fill-opacity="0.55"/>');
    }
  }
  parts.push('<line x1="0" x2="' + width + '" y1="' + y(data.failedAtMs) + '" y2="' + y(data.failedAtMs) + '" stroke="#c62828" stroke-width="2"/>');
  line.innerHTML = '<svg width="' + width + '" height="' + (y(endMs) + 120) + '">' + parts.join('') + '</svg>';
}

line.addEventListener('mouseover', (event) => { const text = event.target.dataset && event.target.dataset.text; if (text) detail.textContent = text; });
let pending = false;
const drawSoon = () => { if (!pending) { pending = true; requestAnimationFrame(() => { pending = false; draw(); }); } };
window.addEventListener('scroll', drawSoon);
window.addEventListener('resize', drawSoon);
for (const id of ['partition', 'messages', 'operations', 'find']) document.getElementById(id).addEventListener('input', drawSoon);
scale.addEventListener('input', () => { const middleMs = (window.scrollY - line.offsetTop + window.innerHeight / 2) / lastScale; lastScale = pxPerMs(); draw(); window.scrollTo(0, middleMs * lastScale + line.offsetTop - window.innerHeight / 2); });
let lastScale = pxPerMs();
const toEnd = () => { draw(); window.scrollTo(0, y(data.failedAtMs) + line.offsetTop - window.innerHeight * 0.7); draw(); };
document.getElementById('end').addEventListener('click', toEnd);
toEnd();
`;
