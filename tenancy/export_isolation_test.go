package tenancy

// The rows of the tables that belong to accounts, for the test of their isolation.
type (
	AccountRow    = accountRow
	MemberRow     = memberRow
	MemberRoleRow = memberRoleRow
	ObjectRoleRow = objectRoleRow
	OfferRow      = offerRow
	EventRow      = eventRow
	DeliveryRow   = deliveryRow
	AuditRow      = auditRow
)
