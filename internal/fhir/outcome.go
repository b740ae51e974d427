package fhir

import "encoding/json"

// OutcomeIssue is an issue of an OperationOutcome in its JSON form.
type OutcomeIssue struct {
	Severity    string   `json:"severity"` // error, warning or information
	Code        Code     `json:"code"`
	Diagnostics string   `json:"diagnostics"`
	Expression  []string `json:"expression,omitempty"` // FHIRPaths of the elements at fault
}

// OutcomeJSON returns an OperationOutcome with the issues and the additional issue that names
// the request, which every OperationOutcome has (ER-01).
func OutcomeJSON(requestID string, issues ...OutcomeIssue) []byte {
	body, err := json.Marshal(struct {
		ResourceType string         `json:"resourceType"`
		Issue        []OutcomeIssue `json:"issue"`
	}{"OperationOutcome", append(issues[:len(issues):len(issues)], OutcomeIssue{
		Severity: "information", Code: CodeInformational, Diagnostics: "X-Request-ID: " + requestID,
	})})
	if err != nil {
		return nil // impossible: the struct holds strings only
	}
	return body
}
