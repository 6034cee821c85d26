package admin

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// expression of an alert or a panel.
type expression struct{ where, text string }

// alertRules are the expressions of the alerts, whose file is simple: one line each.
func alertRules(t *testing.T) (list []expression) {
	t.Helper()
	text, err := os.ReadFile("../packaging/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	name, hasDo := "", true
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if alert, ok := strings.CutPrefix(line, "- alert: "); ok {
			if !hasDo {
				t.Errorf("alert %s does not say what to do", name)
			}
			name, hasDo = alert, false
		}
		if expr, ok := strings.CutPrefix(line, "expr: "); ok {
			list = append(list, expression{name, expr})
		}
		hasDo = hasDo || strings.HasPrefix(line, `do: "`)
	}
	return list
}

// panels are the expressions of the dashboard.
func panels(t *testing.T) (list []expression) {
	t.Helper()
	text, err := os.ReadFile("../packaging/grafana/ledger.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct{ List []struct{ Query string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			list = append(list, expression{p.Title, target.Expr + " " + target.LegendFormat})
		}
	}
	for _, variable := range dashboard.Templating.List {
		list = append(list, expression{"a variable", variable.Query})
	}
	return list
}

// Goal: every metric that an alert or a panel names is in /metrics, a histogram by one of its three
// names, and every label that it names is one of the metric's.
func TestPackagedExpressions(t *testing.T) {
	_, page := get(t, opened(t, &withClients{}, Options{Version: "1.2.3", PageBytes: 16384}), "/metrics")
	kinds := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (ledger_[a-z_]+) ([a-z]+)$`).FindAllStringSubmatch(page, -1) {
		kinds[match[1]] = match[2]
	}
	labels := map[string][]string{}
	for _, f := range families() {
		labels[f.name] = append([]string{"instance", "job", "le"}, f.labels...)
	}
	names := regexp.MustCompile(`\bledger_[a-z_]+`)
	used := regexp.MustCompile(`[{,]([a-z_]+)(?:=|!=|=~)"|\{\{([a-z_]+)\}\}|by \(([a-z_, ]+)\)`)
	rules, shown := alertRules(t), panels(t)
	if len(rules) < 15 || len(shown) < 30 {
		t.Fatalf("%d rules and %d expressions of panels were read", len(rules), len(shown))
	}
	for _, e := range append(rules, shown...) {
		allowed := []string{}
		for _, name := range names.FindAllString(e.text, -1) {
			if strings.HasPrefix(name, "ledger_cdc_") { // of the page of a job; TestMeter of package cdc checks the names
				allowed = append(allowed, "instance", "job")
				continue
			}
			base := name
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				if cut, ok := strings.CutSuffix(name, end); ok && kinds[cut] == "histogram" {
					base = cut
				}
			}
			switch kind := kinds[base]; {
			case kind == "":
				t.Errorf("%s: %s is not in /metrics", e.where, name)
			case (kind == "histogram") != (base != name):
				t.Errorf("%s: %s is a %s", e.where, name, kind)
			}
			if strings.Contains(e.text, "rate("+base+"{") && kinds[base] != "counter" && base != "ledger_state_transfers" {
				t.Errorf("%s: a rate of %s, which is a %s", e.where, base, kinds[base])
			}
			allowed = append(allowed, labels[base]...)
		}
		for _, match := range used.FindAllStringSubmatch(e.text, -1) {
			for _, label := range strings.FieldsFunc(fmt.Sprint(match[1], match[2], match[3]), func(r rune) bool { return r == ',' || r == ' ' }) {
				if len(allowed) > 0 && !slices.Contains(allowed, label) {
					t.Errorf("%s: there is no label %s: %s", e.where, label, e.text)
				}
			}
		}
	}
}
