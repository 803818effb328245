package call

// OverQuota lets tests judge requests one by one.
var OverQuota = overQuota
