// What trains tokenizers, as JavaScript sees it.
#pragma once
#include <napi.h>

// An object with the functions of addon_text.cc.
Napi::Object text_exports(Napi::Env env);
