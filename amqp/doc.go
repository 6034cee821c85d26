// Package amqp publishes change events to RabbitMQ, or to another broker of AMQP 0.9.1.
//
//	feed --events--> [Sink] --publish, confirm--> exchange --> queues of the consumers
//	                   | ^ --publish, confirm--> progress queue, one message
//	                   | '---at each connect: the last progress
//	                   '--exclusive--> locker queue: one job at a time
//
// In:     batches of events, in the order of their timestamps.
// Out:    one persistent message per event, with the reference's headers and body.
// Owns:   a connection to one of the brokers, and with it the locker queue.
// Limits: one batch is unconfirmed at a time.
// Faults: progress is saved once the events before it are confirmed, so there is no gap. What was
// published and not saved is published again. A broker that fails is left for the next one.
// Source: docs/amqp.md.
package amqp
