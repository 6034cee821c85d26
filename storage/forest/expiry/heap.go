package expiry

// The adds of a part are a binary min-heap: the smallest key is first.

func (p *Part) heapLess(i, j uint32) bool { return p.heap[i].Less(p.heap[j].Expiry) }

func (p *Part) heapPush(index uint32) {
	at := p.heapCount
	p.heap[at] = heapItem{Expiry: p.adds[index].Expiry, add: index}
	p.heapCount++
	p.adds[index].InHeap = true
	p.heapUp(at)
}

func (p *Part) heapUp(at uint32) {
	for at > 0 {
		parent := (at - 1) / 2
		if !p.heapLess(at, parent) {
			return
		}
		p.heap[at], p.heap[parent] = p.heap[parent], p.heap[at]
		at = parent
	}
}

func (p *Part) heapDown(at uint32) {
	for {
		child := 2*at + 1
		if child >= p.heapCount {
			return
		}
		if child+1 < p.heapCount && p.heapLess(child+1, child) {
			child++
		}
		if !p.heapLess(child, at) {
			return
		}
		p.heap[at], p.heap[child] = p.heap[child], p.heap[at]
		at = child
	}
}

func (p *Part) heapPop() { p.heapRemoveAt(0) }

func (p *Part) heapRemoveAt(at uint32) {
	p.adds[p.heap[at].add].InHeap = false
	p.heapCount--
	p.heap[at] = p.heap[p.heapCount]
	if at < p.heapCount {
		p.heapDown(at)
		p.heapUp(at)
	}
}

// heapDelete removes an add from any place of the heap. It searches linearly from the end. Only
// rollback calls it, and the adds that rollback removes were pushed last and are near the end.
func (p *Part) heapDelete(index uint32) {
	for at := p.heapCount; at > 0; at-- {
		if p.heap[at-1].add == index {
			p.heapRemoveAt(at - 1)
			return
		}
	}
}
