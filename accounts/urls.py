"""Pages of a person's own account: sign-in, language, second factor, password, sessions."""

from django.urls import path

from accounts.views.chat import ChatAdd, ChatRemove, ChatTry
from accounts.views.inbox import Inbox, InboxOpen
from accounts.views.language import language_choice
from accounts.views.notifications import Notifications
from accounts.views.second_factor import (
    ConfirmSecondFactor,
    EnrolSecondFactor,
    RecoveryCodes,
    SecondFactorPage,
    TurnOffSecondFactor,
)
from accounts.views.sessions import SessionEnd, SessionList, SignOutEverywhere
from accounts.views.sign_in import AdministratorLink, PasswordChange, SignIn
from accounts.views.single_keys import single_keys_choice

urlpatterns = [
    path("login/", SignIn.as_view(), name="login"),
    path("login/code/", ConfirmSecondFactor.as_view(), name="second-factor-confirm"),
    path("login/once/<str:token>/", AdministratorLink.as_view(), name="administrator-link"),
    path("language/", language_choice, name="language"),
    path("account/single-keys/", single_keys_choice, name="single-keys"),
    path("account/second-factor/", SecondFactorPage.as_view(), name="second-factor"),
    path("account/second-factor/set-up/", EnrolSecondFactor.as_view(), name="second-factor-enrol"),
    path("account/second-factor/codes/", RecoveryCodes.as_view(), name="second-factor-codes"),
    path("account/second-factor/off/", TurnOffSecondFactor.as_view(), name="second-factor-off"),
    path("account/password/", PasswordChange.as_view(), name="password-change"),
    path("account/inbox/", Inbox.as_view(), name="inbox"),
    path("account/inbox/<uuid:pk>/", InboxOpen.as_view(), name="inbox-open"),
    path("account/notifications/", Notifications.as_view(), name="notifications"),
    path("account/chat/", ChatAdd.as_view(), name="chat-add"),
    path("account/chat/test/", ChatTry.as_view(), name="chat-test"),
    path("account/chat/remove/", ChatRemove.as_view(), name="chat-remove"),
    path("account/sessions/", SessionList.as_view(), name="session-list"),
    path("account/sessions/end-all/", SignOutEverywhere.as_view(), name="session-end-all"),
    path("account/sessions/<str:handle>/end/", SessionEnd.as_view(), name="session-end"),
]
