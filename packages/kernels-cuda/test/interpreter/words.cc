#include "words.h"

#include <cctype>
#include <charconv>
#include <stdexcept>

namespace vwn {
namespace ptx {
namespace {

bool isOfWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.'; }
bool isDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)); }

/** Behind what is no part of a token. Counts lines. */
size_t skipSpace(std::string_view text, size_t at, int &line) {
  while (at < text.size()) {
    const bool isComment = text.substr(at, 2) == "//";
    if (!isComment && !std::isspace(static_cast<unsigned char>(text[at]))) break;
    const size_t end = isComment ? std::min(text.find('\n', at), text.size()) : at + 1;
    if (!isComment && text[at] == '\n') line++;
    at = end;
  }
  return at;
}

/** A name may have a part behind two colons: shared::cluster. */
size_t endOfWord(std::string_view text, size_t at) {
  while (at < text.size() && (isOfWord(text[at]) || (text.substr(at, 2) == "::" && isOfWord(text[at + 2])))) at += text[at] == ':' ? 2 : 1;
  return at;
}

}  // namespace

Words::Words(std::string_view text) {
  int line = 1;
  for (size_t at = skipSpace(text, 0, line); at < text.size(); at = skipSpace(text, at, line)) {
    const char c = text[at];
    const bool isNumber = isDigit(c) || (c == '-' && at + 1 < text.size() && isDigit(text[at + 1]));
    const bool isWord = !isNumber && isOfWord(c);
    const size_t end = c == '"' ? std::min(text.find('"', at + 1), text.size() - 1) + 1 : isNumber ? endOfWord(text, at + 1) : isWord ? endOfWord(text, at) : at + 1;
    tokens_.push_back({isNumber ? Token::Kind::number : isWord ? Token::Kind::word : Token::Kind::mark, text.substr(at, end - at), line});
    at = end;
  }
  tokens_.push_back({Token::Kind::end, "", line});
}

const Token &Words::peek(size_t ahead) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }

Token Words::next() {
  const Token token = peek();
  if (token.kind != Token::Kind::end) at_++;
  return token;
}

bool Words::take(std::string_view text) {
  if (!isNext(text)) return false;
  next();
  return true;
}

void Words::expect(std::string_view text) {
  const Token token = next();
  if (token.text != text)
    throw std::runtime_error("PTX, line " + std::to_string(token.line) + ": expected \"" + std::string(text) + "\", found \"" + std::string(token.text) + '"');
}

void Words::skipLine() {
  const int line = tokens_[at_ - 1].line;
  while (peek().kind != Token::Kind::end && peek().line == line) next();
}

std::string Words::word() { return std::string(next().text); }

uint64_t Words::number() {
  const Token token = next();
  std::string_view digits = token.text;
  const bool isNegative = digits.starts_with('-');
  if (isNegative) digits.remove_prefix(1);
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && std::string_view("xXfFdD").find(digits[1]) != std::string_view::npos) digits.remove_prefix(2), base = 16;
  uint64_t value = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value, base).ec != std::errc{})
    throw std::runtime_error("PTX, line " + std::to_string(token.line) + ": no number: " + std::string(token.text));
  return isNegative ? 0 - value : value;
}

}  // namespace ptx
}  // namespace vwn
