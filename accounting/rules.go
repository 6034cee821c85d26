package accounting

import "ledger/limits"

// rules is what two releases do differently. A change of what an op does to the state, or of its
// results, is a field here that RulesOf sets from some release on, and the code asks for the field.
// So all that a release changed stands in one place, and goes when that release is the oldest one
// that is offered.
//
// The number of the rules is in each prepare. So an op has the same results in whatever program
// executes it.
type rules struct {
	// refusesTrialCode: an account with the code of tests is refused like one without a code. Only the
	// release of tests has this rule.
	refusesTrialCode bool
}

// TrialCode is the account code that the rules of tests refuse.
const TrialCode = 0xfffe

func rulesOf(number uint32) rules {
	return rules{refusesTrialCode: number == limits.RulesTrial}
}

// UseRules makes the rules of this number those of the next requests.
func (m *Machine) UseRules(number uint32) { m.rules = rulesOf(number) }
