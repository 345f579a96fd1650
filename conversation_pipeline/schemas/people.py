"""People who work in the org. Source: Field Reference v66, User."""

from __future__ import annotations

from conversation_pipeline.schemas.dataset import Dataset, Group
from conversation_pipeline.schemas.fields import flag, instant, record_id, text

USERS = Dataset(
    name="users",
    grain="One row per user of the org, as it is now.",
    group=Group.ON_PLATFORM,
    key=("id",),
    sobject="User",
    cursor_field="SystemModstamp",
    fields=(
        record_id(),
        text("Name", "Full name."),
        text("Username", "Login name."),
        text("Alias", "Short name."),
        text("Email", "E-mail address."),
        text("FirstName", "First name."),
        text("LastName", "Last name."),
        flag("IsActive", "False once deactivated; users are never deleted."),
        text("UserType", "Standard, AutomatedProcess, ..."),
        record_id("UserRoleId", "Role."),
        record_id("ProfileId", "Profile."),
        record_id("ManagerId", "Manager."),
        text("Department", "Department."),
        text("Division", "Division."),
        text("Title", "Job title."),
        text("TimeZoneSidKey", "Time zone."),
        text("LocaleSidKey", "Locale."),
        text("LanguageLocaleKey", "Language."),
        instant("CreatedDate", "Creation."),
        instant("LastModifiedDate", "Last change by a user."),
        instant("SystemModstamp", "Last change by a user or by automation."),
    ),
)
