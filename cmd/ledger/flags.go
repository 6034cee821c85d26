package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// A flag is written in one way, for every flag of every command, as the reference has it:
// --name=value. Kong would take "--name value" as well, and then a boolean flag that the command
// reads as text would take the data file for its value. So normalize gives kong nothing but
// --name=value: it refuses a flag that lacks its value, and completes a boolean one.

// boolPlaceHolder marks a flag that is a boolean and read as text, because package config judges
// it.
const boolPlaceHolder = "BOOL"

// isBool tells whether a flag means true where it has no value.
func isBool(flag *kong.Flag) bool { return flag.IsBool() || flag.PlaceHolder == boolPlaceHolder }

// flagsOf returns the flags that arguments may have, and the name of their command, "" if there is
// none that is known.
func flagsOf(model *kong.Application, arguments []string) (flags []*kong.Flag, command string) {
	flags = append(flags, model.Flags...)
	for _, argument := range arguments {
		if strings.HasPrefix(argument, "-") {
			continue
		}
		for _, child := range model.Children {
			if child.Name == argument {
				return append(flags, child.Flags...), child.Name
			}
		}
		break
	}
	return flags, ""
}

// flagNamed returns the flag of that name, or nil.
func flagNamed(flags []*kong.Flag, name string) *kong.Flag {
	for _, flag := range flags {
		if flag.Name == name {
			return flag
		}
		for _, alias := range flag.Aliases {
			if alias == name {
				return flag
			}
		}
	}
	return nil
}

// normalize writes every flag as --name=value.
//
// error: a flag that is not known, is given twice (under whatever name), or lacks its value.
func normalize(model *kong.Application, arguments []string) ([]string, error) {
	flags, command := flagsOf(model, arguments)
	seen := map[*kong.Flag]bool{}
	normal := make([]string, 0, len(arguments))
	for i, argument := range arguments {
		if argument == "--" { // what follows is no flag
			return append(normal, arguments[i:]...), nil
		}
		text, isLong := strings.CutPrefix(argument, "--")
		if !isLong {
			normal = append(normal, argument)
			continue
		}
		name, _, hasValue := strings.Cut(text, "=")
		flag := flagNamed(flags, name)
		switch {
		case flag == nil && command == "":
			// Kong says what is wrong with the command.
		case flag == nil:
			return nil, fmt.Errorf("%s: there is no such flag: ledger %s --help lists them", argument, command)
		case seen[flag]:
			return nil, fmt.Errorf("%s: is given twice", argument)
		case !hasValue && flag.Name == "help":
		case !hasValue && isBool(flag):
			argument += "=true"
		case !hasValue:
			return nil, fmt.Errorf("%s: has no value: write it behind an equals sign, as in --%s=%s", argument, name, flag.FormatPlaceHolder())
		}
		if flag != nil {
			seen[flag] = true
		}
		normal = append(normal, argument)
	}
	return normal, nil
}

// refusal makes kong's error about a value one of ours: it repeats what was written and says what
// would be right.
func refusal(model *kong.Application, arguments []string, err error) error {
	name, _, isFlag := strings.Cut(err.Error(), ": ")
	if !isFlag || !strings.HasPrefix(name, "--") {
		return err
	}
	flags, _ := flagsOf(model, arguments)
	flag := flagNamed(flags, strings.TrimPrefix(name, "--"))
	if flag == nil {
		return err
	}
	for _, argument := range arguments {
		written, _, hasValue := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		if hasValue && flagNamed(flags, written) == flag {
			return errors.New(argument + ": must be " + wanted(flag))
		}
	}
	return err
}

// wanted says what kong takes as the value of a flag.
func wanted(flag *kong.Flag) string {
	switch kind := flag.Target.Kind(); {
	case flag.IsBool():
		return "true or false"
	case kind == reflect.Uint64:
		return "a whole number of 0 to 2^64-1"
	case kind == reflect.Uint32:
		return "a whole number of 0 to 2^32-1"
	case kind == reflect.Int64:
		return "a time with its unit, as in 5s"
	case kind == reflect.Float64:
		return "a number, as in 1000"
	}
	return "a text"
}
