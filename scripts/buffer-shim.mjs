// What the bundle of the simulator takes for the global `Buffer` (scripts/sim.mjs).
export { Buffer } from 'node:buffer';
