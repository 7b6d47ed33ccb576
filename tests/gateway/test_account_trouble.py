"""Trouble of our own account at a provider is told apart from a caller's fault, however the provider words it."""

import pytest

from gateway.proxy.account_trouble import account_trouble
from gateway.proxy.backend_errors import read_error, refusal_for
from gateway.proxy.scrub import Scrubber
from tests.gateway.test_errors_of_backends import MODEL, call, scripted  # noqa: F401  the fixture

LOW = "Your credit balance is too low to access the API."


def error(message, **more):
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        # a parameter is named beside it
        (400, error(LOW, type="invalid_request_error", param="messages"), "payment"),
        (400, error(f"Error code: 400 - {LOW}", param="model"), "payment"),
        (400, error(f"litellm.BadRequestError: AnthropicException - {LOW}", param="model"), "payment"),
        (400, error("Billing hard limit has been reached", param="model"), "payment"),
        (400, error("You exceeded your current quota, please check your plan.", param="model"), "quota"),
        (400, error("no", code="insufficient_quota", param="model"), "quota"),
        (400, error("The given one is no API key: invalid API key", param="api_key"), "credentials"),
        (400, error("This account has been deactivated", param="user"), "permission"),
        (400, error("Your organization must be verified to stream this model.", param="stream"), "permission"),
        # other statuses
        (412, error("Account acme is suspended, possibly due to reaching the monthly spending limit."), "permission"),
        (404, {"message": "Model use case details have not been submitted for this account."}, "permission"),
        (422, {"detail": "Invalid API key"}, "credentials"),
        (422, {"message": "Unauthorized", "request_id": "x"}, "credentials"),
        (200, {"error_code": 111, "error_msg": "Access token expired"}, "credentials"),
        # other words
        (400, error("Organization has been restricted. Please reach out to support."), "permission"),
        (400, error("no", code="organization_restricted"), "permission"),
        (400, {"code": "Arrearage", "message": "no"}, "payment"),
        (400, {"message": "Access denied, please make sure your account is in good standing."}, "permission"),
        (429, error("您的账户已欠费，请充值后重试。", code="1113"), "payment"),
        (429, error("余额不足或无可用资源包"), "payment"),
        (400, error("该令牌额度已用尽"), "quota"),
        (429, {"error": "Your team has used all available credits or reached its monthly spending limit."}, "payment"),
        (400, {"code": 30011, "message": "Your paid balance is insufficient. Please top up and try again."}, "payment"),
        (400, error("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", type="budget_exceeded"), "payment"),
        (400, error("This API method requires billing to be enabled."), "payment"),
        (400, error("The free tier of the model has been exhausted."), "quota"),
        (400, {"error": "Incorrect API key provided: ab***. Get a new one."}, "credentials"),
        (400, error("API key expired. Please renew the API key."), "credentials"),
        (400, error("Your API key was reported as leaked."), "credentials"),
        (400, error("User location is not supported for the API use."), "permission"),
        (400, error("The API has not been used in project 123 before or it is disabled."), "permission"),
        (400, error("Access denied due to invalid subscription key or wrong API endpoint."), "permission"),
        (400, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "payment"),
        # other shapes
        (400, error("no", details=[{"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}]), "credentials"),
        (400, error("no", details=[{"@type": "ErrorInfo", "reason": "BILLING_DISABLED"}]), "payment"),
        (400, error("Provider returned error", metadata={"raw": f'{{"error": {{"message": "{LOW}"}}}}'}), "payment"),
        (400, {"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound", "Message": "no"}}}, "credentials"),
        # A LiteLLM proxy without a database, of any key but its master key.
        (400, error("No connected db.", type="no_db_connection", code="400"), "credentials"),
        (400, {"__type": "UnrecognizedClientException", "message": "no"}, "credentials"),
    ],
)  # fmt: skip
def test_what_providers_say_of_an_account_is_ours(status, content, reason):
    assert account_trouble(status, read_error(content)) == reason


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, error("No such stop word as invalid api key", param="stop")),
        (400, error(f"tools[0].function.name: {LOW}", param="tools")),
        (400, error(f"Unknown tool '{LOW}'")),
        (404, error(f"No such tool: `{LOW}`")),
        (400, error("Invalid token id 128999 in logit_bias")),
        (400, error("Missing required key: 'type'")),
        (400, error("The key must be a string; unknown key in messages[0]")),
        (400, error("max_tokens must be greater than thinking.budget_tokens")),
        (400, error("The response was filtered", code="content_filter", param="prompt")),
        (429, error("Rate limit reached for requests per min: Limit 3. Please add a payment method to your account to "
                    "increase your rate limit.", code="rate_limit_exceeded")),
        (429, error("Rate limit reached. Need more tokens? Upgrade to a larger tier today.", type="tokens")),
        (429, error("This request would exceed your organization's rate limit of 40,000 input tokens per minute.")),
    ],
)  # fmt: skip
def test_what_is_said_of_a_call_is_the_callers(status, content):
    assert account_trouble(status, read_error(content)) is None


@pytest.mark.parametrize("status", [400, 412, 422])
def test_through_the_gateway_it_is_answered_with_502_and_without_a_word_of_it(shared_rig, scripted, status):  # noqa: F811
    scripted.says(error(LOW, type="invalid_request_error", param="messages"), status=status)
    answer = call(shared_rig, scripted.key)
    assert answer.status_code == 502
    assert "credit" not in answer.text
    assert '"event":"backend_refuses_our_account"' in shared_rig.gateway.process.output()


def test_the_sentence_of_the_provider_behind_a_router_reaches_the_caller():
    raw = '{"error": {"message": "This model has a maximum context length of 2048 tokens."}}'
    told = read_error(
        error("Provider returned error", code=400, metadata={"raw": raw, "provider_name": "Acme"})
    )
    assert told.message == "This model has a maximum context length of 2048 tokens."


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("7", "7"),
        ("999999999999", "3600"),
        ("9" * 5000, "3600"),
        ("-5", "1"),
        ("²", "1"),
        ("soon", "1"),
        (None, "1"),
    ],
)
def test_a_client_is_asked_to_wait_an_hour_at_most(said, told):
    refusal = refusal_for(
        429, read_error(error("busy")), Scrubber("up", "http://x", "aurora"), retry_after=said
    )
    assert refusal.headers["retry-after"] == told


@pytest.mark.parametrize(
    "said", ["Wed, 29999999999 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 -999999999999:28:00 GMT"]
)
def test_a_date_that_no_calendar_has_is_no_fault_of_ours(shared_rig, scripted, said):  # noqa: F811
    scripted.says(error("busy"), status=429, headers={"retry-after": said})
    answer = call(shared_rig, scripted.key)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
