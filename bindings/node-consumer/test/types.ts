import { once } from 'events'
import { createConsumer, Consumer, available, reason, type Data, type Distribution, type Drop, type Fault } from '..'

const consumer: Consumer = createConsumer()
consumer.on('error', (error: Error) => error.message).on('drop', (drop: Drop) => drop.kind).once('ready', () => {})
consumer.on('fault', (fault: Fault) => fault.probe.func)
const version: string | undefined = consumer.version()
consumer.strcompile('BEGIN', (error: Error | null) => error?.message)
consumer.setopt('quiet')
consumer.setopt('bufsize', '4m')
consumer.consume((probe, record) => { const data: Data | undefined = record?.data; return [probe.name, data] })
consumer.aggwalk((varid: number, key, value) => [varid, key.length, (value as Distribution)[0][0][1]])

async function promises (): Promise<void> {
  await once(consumer, 'ready')
  await consumer.strcompile('BEGIN')
  await consumer.go()
  for (const { varid, value } of await consumer.aggwalk()) console.log(varid, value)
  const records: { data: Data }[] = await consumer.consume()
  for await (const { probe, data } of consumer) console.log(probe.provider, data, records)
  await consumer.stop()
}
// @ts-expect-error: a program is wanted
consumer.strcompile()
// @ts-expect-error: no such event
consumer.on('nonsense', () => {})
// @ts-expect-error: a value is no object
consumer.setopt('quiet', {})
const why: string | undefined = available ? version : reason
export { promises, why }
