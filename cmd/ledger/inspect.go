package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"ledger/inspect"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/storage/datafile"
)

// inspectCommand looks into a data file. It locks nothing and writes nothing, so the file may be in
// use.
type inspectCommand struct {
	Superblock inspectSuperblock `cmd:"" help:"The four copies of the superblock side by side, and where they differ."`
	Layout     inspectLayout     `cmd:"" help:"The zones of the file: name, offset, size."`
	WAL        inspectWAL        `cmd:"" name:"wal" help:"The log: both places of each slot, classified, and how a start would judge the log."`
	Checkpoint inspectCheckpoint `cmd:"" help:"The newest checkpoint: its trailers, and what its trees consist of."`
	Tables     inspectTables     `cmd:"" help:"The tables that the checkpoint names."`
	Block      inspectBlock      `cmd:"" help:"A block: as what it is named, its header page, and whether its pages are right."`
	Sessions   inspectSessions   `cmd:"" help:"The client sessions as of the checkpoint."`
	Digest     inspectDigest     `cmd:"" help:"A digest of all that the checkpoint names: replicas at one checkpoint have the same."`
}

type inspectOptions struct {
	JSON bool   `name:"json" help:"Write one JSON object instead of text."`
	File string `arg:"" help:"The data file. It may be in use."`
}

type inspectSuperblock struct{ inspectOptions }
type inspectLayout struct{ inspectOptions }
type inspectWAL struct {
	Slot *string `placeholder:"N" help:"Only this slot, with all that its headers say. Default: all slots."`
	inspectOptions
}
type inspectCheckpoint struct{ inspectOptions }
type inspectTables struct {
	Tree string `placeholder:"NAME" help:"Only the tables of this tree, as in transfer_id. Default: all trees."`
	inspectOptions
}
type inspectBlock struct {
	JSON    bool   `name:"json" help:"Write one JSON object instead of text."`
	Address string `arg:"" help:"The block's address, from 1."`
	File    string `arg:"" help:"The data file. It may be in use."`
}
type inspectSessions struct{ inspectOptions }
type inspectDigest struct{ inspectOptions }

// Run implements the command.
func (c *inspectSuperblock) Run(s *streams) error {
	return inspected(c.File, func(f *inspect.File) error {
		r, err := f.Superblock()
		if err != nil {
			return err
		}
		if err := show(s, c.JSON, r); err != nil || r.Chosen >= 0 {
			return err
		}
		return &statusError{exitDamage, errors.New(r.Reason)}
	})
}

// Run implements the command.
func (c *inspectLayout) Run(s *streams) error {
	return inspected(c.File, func(f *inspect.File) error {
		r, err := f.Layout()
		if err != nil {
			return err
		}
		return show(s, c.JSON, r)
	})
}

// Run implements the command.
func (c *inspectWAL) Run(s *streams) error {
	slot := -1
	if c.Slot != nil {
		number, err := strconv.ParseUint(*c.Slot, 10, 31)
		slots := limits.Production().JournalSlotsCount
		if err != nil || number >= uint64(slots) {
			return fmt.Errorf("--slot=%s: must be a slot of the log, 0 to %d", *c.Slot, slots-1)
		}
		slot = int(number)
	}
	return inspected(c.File, func(f *inspect.File) error {
		r, err := f.WAL(slot)
		if err != nil {
			return err
		}
		return shownWith(s, c.JSON, r, r.Damaged)
	})
}

// Run implements the command.
func (c *inspectCheckpoint) Run(s *streams) error {
	return inspected(c.File, func(f *inspect.File) error {
		r, err := f.Checkpoint()
		if err != nil {
			return err
		}
		return shownWith(s, c.JSON, r, r.Damaged)
	})
}

// Run implements the command.
func (c *inspectTables) Run(s *streams) error {
	if err := inspect.CheckTree(c.Tree); err != nil {
		return err
	}
	return inspected(c.File, func(f *inspect.File) error {
		r, err := f.Tables(c.Tree)
		if err != nil {
			return err
		}
		return shownWith(s, c.JSON, r, r.Damaged)
	})
}

// Run implements the command.
func (c *inspectBlock) Run(s *streams) error {
	address, err := strconv.ParseUint(c.Address, 10, 64)
	if err != nil {
		return fmt.Errorf("%s: must be the address of a block, a whole number from 1, as in ledger inspect block 1 %s", c.Address, c.File)
	}
	return inspected(c.File, func(f *inspect.File) error {
		r, err := f.Block(address)
		if err != nil {
			return err
		}
		if err := show(s, c.JSON, r); err != nil || !r.IsDamaged() {
			return err
		}
		return &statusError{exitDamage, fmt.Errorf("block %d is damaged", address)}
	})
}

// Run implements the command.
func (c *inspectSessions) Run(s *streams) error {
	return inspected(c.File, func(f *inspect.File) error {
		r, err := f.Sessions()
		if err != nil {
			return err
		}
		return shownWith(s, c.JSON, r, r.Damaged)
	})
}

// Run implements the command.
func (c *inspectDigest) Run(s *streams) error {
	return inspected(c.File, func(f *inspect.File) error {
		meter := newProgressLine(s, "reading the checkpoint")
		r, damaged, err := f.Digest(meter.show)
		meter.clear()
		if err != nil {
			return err
		}
		if len(damaged) > 0 {
			return &statusError{exitDamage, fmt.Errorf("there is no digest of a damaged checkpoint: %d places are damaged, the first is %s; "+
				"ledger verify %s lists them", len(damaged), damaged[0].String(), c.File)}
		}
		return show(s, c.JSON, r)
	})
}

// inspected opens a data file and looks into it. Every error names the file.
func inspected(path string, look func(f *inspect.File) error) error {
	l := limits.Production()
	file, err := posix.OpenReadOnly(path, l.SectorBytes)
	if errors.Is(err, posix.ErrMissing) {
		return fmt.Errorf("%w: name one that ledger format has made", err)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	f, err := inspect.Open(file, l)
	if err == nil {
		err = look(f)
		f.Close()
	}
	if err == nil {
		return nil
	}
	var damage *datafile.DamageError
	if errors.As(err, &damage) {
		err = &statusError{exitDamage, err}
	}
	return fmt.Errorf("%s: %w", path, err)
}

// shownWith shows a report, which ends with the status of damage if there is any.
func shownWith(s *streams, asJSON bool, r inspect.Report, damaged []inspect.Damage) error {
	if err := show(s, asJSON, r); err != nil || len(damaged) == 0 {
		return err
	}
	return &statusError{exitDamage, fmt.Errorf("%d damaged places, the first is %s", len(damaged), damaged[0].String())}
}

func show(s *streams, asJSON bool, r inspect.Report) error {
	if !asJSON {
		r.Text(s.out)
		return nil
	}
	encoded, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s\n", encoded)
	return err
}
