package etcd

// Ledger returns what the writer's last transaction wrote to its ledger.
func (w *Writer) Ledger() string { return w.ledger.last }

// Doubt lets the writer believe that it does not know whether its transactions
// after the one that wrote last happened, as when their answers were lost.
func (w *Writer) Doubt(last string) {
	w.ledger.maybe = append(w.ledger.maybe, w.ledger.last)
	w.ledger.last = last
	for key := range w.stored {
		w.stored[key] = unknown
	}
}
