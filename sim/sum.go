package sim

import "reflect"

// Add adds the counts of one run to those of many, Coverage and Marks included.
func (r *Result) Add(one *Result) { addCounts(reflect.ValueOf(r).Elem(), reflect.ValueOf(one).Elem()) }

// addCounts adds the numbers of one run to those of many, in all fields that count.
func addCounts(sum, one reflect.Value) {
	switch one.Kind() {
	case reflect.Int:
		sum.SetInt(sum.Int() + one.Int())
	case reflect.Struct:
		for i := range one.NumField() {
			addCounts(sum.Field(i), one.Field(i))
		}
	case reflect.Array:
		for i := range one.Len() {
			addCounts(sum.Index(i), one.Index(i))
		}
	}
}
