package workload

import "ledger/sim/model"

// idBatch makes the ids of a lookup: known ones, unknown ones, the two ids that never exist, and
// repetitions.
func (g *Generator) idBatch(o model.Operation, n int) []byte {
	var out []byte
	var last model.Number
	for range n {
		id := last
		switch k := g.random.IntN(20); {
		case k == 0:
			id = model.Number{}
		case k == 1:
			id = model.NumberMax
		case k == 2:
			id = g.newID()
		case k == 3: // the last one again
		case k == 4 && len(g.dead) > 0:
			id = pickNew(g, g.dead)
		case o.Base() == model.LookupAccounts && len(g.accounts) > 0:
			id = pickOne(g, g.accounts).ID
		case len(g.transfers) > 0:
			id = pickNew(g, g.transfers).ID
		}
		last = id
		out = append(out, make([]byte, 16)...)
		id.Put(out[len(out)-16:])
	}
	return out
}

// filters makes the batches of a query: one filter each, whose limits fit one reply together.
func (g *Generator) filters(o model.Operation) [][]byte {
	count := 1
	if o.IsMultiBatch() && g.chance(g.profile.MultiBatchPercent) {
		count = 2 + g.random.IntN(4)
		if int(g.limits.RequestBytesMax)-256 < count*o.EventBytes()+model.TrailerBytes(o.EventBytes(), count) {
			count = 1
		}
	}
	rows := g.limits.RowsMax(o)
	left := rows
	if o.IsMultiBatch() {
		left = (int(g.limits.MessageBytesMax) - 256 - model.TrailerBytes(o.ResultBytes(), count)) / o.ResultBytes()
	}
	var batches [][]byte
	for range count {
		limit := uint32(min(left, 1+g.random.IntN(30)))
		switch {
		case g.chance(15):
			limit = uint32(min(left, rows))
		case g.chance(15) && left >= rows:
			limit = uint32(rows) + 1 + g.random.Uint32N(1<<20) // cut to rows
		case g.chance(10) && left >= rows:
			limit = ^uint32(0)
		case g.chance(3):
			limit = 0
		}
		left -= min(int(limit), rows)
		wrong := g.chance(g.profile.FilterWrongPercent)
		switch o.Base() {
		case model.GetAccountTransfers, model.GetAccountBalances:
			batches = append(batches, g.accountFilter(o, limit, wrong))
		case model.GetChangeEvents:
			batches = append(batches, g.changesFilter(limit, wrong))
		default:
			batches = append(batches, g.queryFilter(o.Base() == model.QueryAccounts, limit, wrong))
		}
	}
	return batches
}

// stampRange makes the bounds of a filter, around timestamps that have been seen.
func (g *Generator) stampRange() (from, to uint64) {
	stamp := func() uint64 {
		if len(g.stamps) == 0 || g.chance(5) {
			return g.nowNs
		}
		return pickNew(g, g.stamps) + uint64(g.random.IntN(3)) - 1
	}
	switch g.random.IntN(6) {
	case 0:
		from = stamp()
	case 1:
		to = stamp()
	case 2:
		from, to = stamp(), stamp()
		if from > to && g.chance(90) {
			from, to = to, from
		}
	case 3:
		from = stamp()
		to = from
	}
	return from, to
}

// rangeAround makes bounds around the timestamp, which is often on a bound.
func (g *Generator) rangeAround(timestamp uint64) (from, to uint64) {
	width := uint64(1) << g.random.IntN(40)
	switch g.random.IntN(6) {
	case 0:
		return timestamp, timestamp
	case 1:
		return timestamp, 0
	case 2:
		return 0, timestamp
	case 3:
		return timestamp - min(width, timestamp-1), timestamp + width
	}
	return 0, 0
}

// example is a transfer for which a filter may be made, or nil if there is none.
func (g *Generator) example() *model.Transfer {
	if len(g.transfers) == 0 {
		return nil
	}
	t := pickNew(g, g.transfers)
	return &t
}

// wrongRange makes bounds that are invalid.
func (g *Generator) wrongRange() (from, to uint64) {
	switch g.random.IntN(4) {
	case 0:
		return 1<<63 + g.random.Uint64N(3), 0
	case 1:
		return 0, 1<<63 + g.random.Uint64N(3)
	case 2:
		return 0, ^uint64(0)
	}
	return g.nowNs, g.nowNs - 1
}

func (g *Generator) accountFilter(o model.Operation, limit uint32, wrong bool) []byte {
	f := model.AccountFilter{AccountID: g.newID(), Limit: limit, Flags: 1 + g.random.Uint32N(7)}
	if f.Flags == model.FilterReversed {
		f.Flags |= model.FilterDebits
	}
	if len(g.accounts) > 0 && !g.chance(3) {
		f.AccountID = pickOne(g, g.accounts).ID
	}
	f.TimestampMin, f.TimestampMax = g.stampRange()
	like := g.example()
	if like != nil && g.chance(70) { // a filter that fits a transfer
		f.AccountID = like.DebitAccountID
		if f.Flags&model.FilterDebits == 0 || f.Flags&model.FilterCredits != 0 && g.chance(50) {
			f.AccountID = like.CreditAccountID
		}
		f.TimestampMin, f.TimestampMax = g.rangeAround(like.Timestamp)
	}
	// Only accounts with history have balances.
	if a := g.byID[f.AccountID]; o.Base() == model.GetAccountBalances && a != nil && a.Flags&model.AccountHistory == 0 && g.chance(80) {
		for range 8 {
			if a = pickOne(g, g.accounts); a.Flags&model.AccountHistory != 0 {
				break
			}
		}
		f.AccountID, like = a.ID, nil
		f.TimestampMin, f.TimestampMax = 0, 0
	}
	if like == nil {
		like = &model.Transfer{UserData128: g.value128(), UserData64: g.value(), UserData32: uint32(g.value()), Code: g.code()}
	}
	if g.chance(15) {
		f.UserData128 = like.UserData128
	}
	if g.chance(15) {
		f.UserData64 = like.UserData64
	}
	if g.chance(15) {
		f.UserData32 = like.UserData32
	}
	if g.chance(15) {
		f.Code = like.Code
	}
	if wrong {
		switch g.random.IntN(7) {
		case 0:
			f.AccountID = model.Number{}
		case 1:
			f.AccountID = model.NumberMax
		case 2:
			f.Flags &= model.FilterReversed
		case 3:
			f.Flags |= 1 << (3 + g.random.IntN(29))
		case 4:
			f.Reserved[g.random.IntN(len(f.Reserved))] = 1
		default:
			f.TimestampMin, f.TimestampMax = g.wrongRange()
		}
	}
	return f.Append(nil)
}

func (g *Generator) queryFilter(accounts bool, limit uint32, wrong bool) []byte {
	f := model.QueryFilter{Limit: limit, Flags: g.random.Uint32N(2)}
	f.TimestampMin, f.TimestampMax = g.stampRange()
	like := g.example()
	if like == nil || g.chance(40) {
		like = &model.Transfer{UserData128: g.value128(), UserData64: g.value(), UserData32: uint32(g.value()), Ledger: g.ledger(),
			Code: g.code()}
	}
	if accounts && len(g.accounts) > 0 && g.chance(60) {
		a := pickNew(g, g.accounts)
		like = &model.Transfer{UserData128: a.UserData128, UserData64: a.UserData64, UserData32: a.UserData32, Ledger: a.Ledger, Code: a.Code,
			Timestamp: a.Timestamp}
	}
	if like.Timestamp != 0 {
		f.TimestampMin, f.TimestampMax = g.rangeAround(like.Timestamp)
	}
	if g.chance(35) {
		f.UserData128 = like.UserData128
	}
	if g.chance(35) {
		f.UserData64 = like.UserData64
	}
	if g.chance(35) {
		f.UserData32 = like.UserData32
	}
	if g.chance(35) {
		f.Ledger = like.Ledger
	}
	if g.chance(35) {
		f.Code = like.Code
	}
	if wrong {
		switch g.random.IntN(4) {
		case 0:
			f.Flags |= 1 << (1 + g.random.IntN(31))
		case 1:
			f.Reserved[g.random.IntN(len(f.Reserved))] = 1
		default:
			f.TimestampMin, f.TimestampMax = g.wrongRange()
		}
	}
	return f.Append(nil)
}

func (g *Generator) changesFilter(limit uint32, wrong bool) []byte {
	f := model.ChangesFilter{Limit: limit}
	f.TimestampMin, f.TimestampMax = g.stampRange()
	if wrong {
		if g.chance(50) {
			f.Reserved[g.random.IntN(len(f.Reserved))] = 1
		} else {
			f.TimestampMin, f.TimestampMax = g.wrongRange()
		}
	}
	return f.Append(nil)
}

// spoil damages a valid request so that a server has to refuse it. ok is false if it came out
// valid.
func (g *Generator) spoil(o model.Operation, body []byte) (request Request, ok bool) {
	body = append([]byte{}, body...)
	switch g.random.IntN(8) {
	case 0: // an unknown operation
		o = model.Operation(148 + g.random.IntN(108))
		if g.chance(20) {
			o = model.Pulse
		}
	case 1:
		body = append(body, make([]byte, 1+g.random.IntN(127))...)
	case 2:
		body = body[:g.random.IntN(len(body)+1)]
	case 3, 4: // the trailer
		if len(body) > 0 {
			body[len(body)-1-g.random.IntN(min(len(body), 16))] ^= 1 << g.random.IntN(8)
		}
	case 5:
		body = []byte{}
	case 6: // one batch or filter too much
		if !o.IsMultiBatch() {
			body = append(body, body...)
		} else if body[len(body)-2] < 255 {
			body[len(body)-2]++
		}
	case 7: // more than a request may have
		body = append(body, make([]byte, g.limits.RequestBytesMax-256)...)
	}
	if len(body)+256 > int(g.limits.MessageBytesMax) {
		return request, false
	}
	if g.limits.CheckBody(o, body) == nil && o != model.Pulse && len(body)+256 <= int(g.limits.RequestBytesMax) {
		return request, false
	}
	return Request{Operation: o, Body: body, Refused: true}, true
}
