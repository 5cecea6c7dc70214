import { createDTraceProvider, DTraceProvider, available, reason, type DTraceProbe } from '..'

const provider: DTraceProvider = createDTraceProvider('nodeapp', 'module')
const probe: DTraceProbe = provider.addProbe('start', 'int', 'char *', 'json', 'uint8', 'struct foo *')
const fired: true | undefined = probe.fire(() => [1, 'text', {}, 2n])
probe((id: number, path: string) => [id, path], 1, '/')
probe.fire(function () { return [this.reason] })
const stop: () => void = probe.listen((id: number, path: string) => { print(id + path.length) })
stop()
provider.fire('start', (a: number) => [a], 1)
provider.enable()
provider.disable()
const removed: true = provider.removeProbe(probe)
const why: string | undefined = available ? provider.reason : reason
// @ts-expect-error: a callback is wanted
probe.fire(1)
// @ts-expect-error: the callback wants a number
probe.fire((id: number) => [id], 'one')
// @ts-expect-error: a provider has a name
createDTraceProvider()
declare function print(value: number): void
// @ts-expect-error: a function is wanted
probe.listen('one')
export { fired, removed, why }
