package doctor

import "fmt"

// File is a data file.
type File struct {
	Exists    bool
	Kind      string // "" for a regular file or a block device, else what it is
	Mode      uint32 // permission bits
	Owner     int    // user id
	MayUse    error  // nil if this user may read and write it
	IsLocked  bool   // another process has it open
	LockedBy  int    // its process id, 0 if unknown
	Foreign   error  // why no server of this version can serve it; nil: it can, or cannot be read
	Unread    error  // why its content is unknown
	IsOurs    bool   // its superblock is one of ours
	Cluster   string
	Replica   uint8
	Replicas  uint8
	SizeBytes uint64
}

// file asks for the data file. A result with a state stands for what keeps a check from looking at
// it.
func (e *examination) file() (f File, instead Result) {
	if e.Subject.File == "" {
		return f, skipped("no data file was named")
	}
	f, err := e.probes.File(e.Subject.File)
	if err != nil {
		return f, failure("name a file that this user may look at", "%s: %v", e.Subject.File, err)
	}
	if !f.Exists {
		return f, skipped("%s does not exist", e.Subject.File)
	}
	return f, Result{}
}

func (e *examination) fileFormat() Result {
	f, instead := e.file()
	switch {
	case e.Subject.File != "" && instead.State == Skipped:
		return failure("make it with ledger format, or name the right file", "%s does not exist", e.Subject.File)
	case instead.State != "":
		return instead
	case f.Kind != "":
		return failure("name a regular file or a block device", "%s is %s", e.Subject.File, f.Kind)
	case f.Unread != nil:
		return failure("run it as the user that serves the file", "%s: %v", e.Subject.File, f.Unread)
	case f.Foreign != nil:
		return failure("use the program that wrote it, or format a new file under another name", "%s: %v", e.Subject.File, f.Foreign)
	case !f.IsOurs:
		return failure("name a file that ledger format has made; if this was one, ledger verify says what is damaged",
			"%s has no superblock of a data file", e.Subject.File)
	}
	return ok("%s is the data file of cluster %s, replica %d of %d, %s", e.Subject.File, f.Cluster, f.Replica, f.Replicas, size(f.SizeBytes))
}

func (e *examination) filePermissions() Result {
	f, instead := e.file()
	switch {
	case instead.State != "":
		return instead
	case f.MayUse != nil:
		return failure(fmt.Sprintf("run the server as its owner (user %d), or chmod u+rw %s", f.Owner, e.Subject.File),
			"%s cannot be read and written by this user: %v", e.Subject.File, f.MayUse)
	case f.Mode&0o077 != 0:
		return warning("chmod 600 "+e.Subject.File, "%s has mode %04o: other users can read it, or write to it", e.Subject.File, f.Mode)
	}
	return ok("%s has mode %04o", e.Subject.File, f.Mode)
}

func (e *examination) fileOwner() Result {
	f, instead := e.file()
	switch user := e.probes.UserID(); {
	case instead.State != "":
		return instead
	case f.Owner != user:
		return warning(fmt.Sprintf("chown it to the user of the server, or run the server as user %d", f.Owner),
			"%s belongs to user %d, and this is user %d", e.Subject.File, f.Owner, user)
	}
	return ok("%s belongs to this user (%d)", e.Subject.File, f.Owner)
}

func (e *examination) fileLock() Result {
	f, instead := e.file()
	switch {
	case instead.State != "":
		return instead
	case !f.IsLocked:
		return ok("no process has %s open", e.Subject.File)
	case e.report != nil && !anyAnswers(e.report):
		return failure("stop that process, or name the addresses at which it listens", "process %d has %s open, and no server answers at %s",
			f.LockedBy, e.Subject.File, e.Addresses)
	}
	return ok("process %d serves %s", f.LockedBy, e.Subject.File)
}
