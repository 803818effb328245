package linearizability

// started holds the promise that a watch begins where it was asked to: at its start revision, also if that lies in the future, or,
// without one, behind the revision in the header of the created response. Nothing older is ever told. A request that is not wrong
// is not refused. It would miss a watch from now on whose now is too old: a member may lag behind.
func started(w *watched) *Violation {
	if len(w.units) > 0 && w.units[0].canceled && w.units[0].compacted == 0 && !w.Refusable {
		return w.broken("created", "it was refused: %q", w.units[0].reason)
	}
	for _, e := range w.events() {
		if revisionOf(e) < w.first {
			return w.broken("starts where asked", "it begins at revision %d, but tells of %s", w.first, text(e))
		}
	}
	return nil
}
