package MqttTest::Client;

# Copyright (C) ngx_mqtt_module authors

# A client that speaks in packets, over TCP, TLS or WebSocket.
#
#     $c = MqttTest::Client->new(port => $port, version => 5, %options)
#               opens the connection, sends nothing (but "proxy")
#     $c = MqttTest::Client->open(port => $port, %options, %connect)
#               new() and connect(); dies if CONNACK refuses
#
# Options: host, port, version (3, 4, 5; default 5), timeout (10 s for all
# waiting), ssl => 1 or { arguments of IO::Socket::SSL }, proxy => bytes that
# go before TLS, ws => 1 or { arguments of MqttTest::WebSocket::request } for
# WebSocket (also in TLS), where each queued packet is a frame of its own and
# $c->ws is the MqttTest::WebSocket that reads the server's, auto_ack => 0
# (QoS 1 and 2 PUBLISHes received by recv_message and pump() are acknowledged
# unless this is 0), receive_buffer => bytes.
#
# All packets of the server are checked for form as they arrive, those with
# bad form die.
#
#     $c->connect(%connect)        sends CONNECT, returns CONNACK; keeps it as
#                                  $c->connack; undef if closed instead
#     $c->send(TYPE => %fields)    sends a packet (MqttTest::Packet::gen)
#     $c->send_raw($bytes)
#     $c->send_wire($bytes)        the same, for WebSocket without a frame
#     $c->queue(TYPE => %fields), $c->queue_raw($bytes), $c->flush
#                                  the same, but buffered until flush, any
#                                  send or pump()
#     $c->recv($timeout)           next packet, undef on timeout or when closed
#     $c->closed                   true once the server has closed, and all
#                                  packets before that have been read
#     $c->reset                    true if it was closed with a TCP reset
#     $c->close, $c->abort         FIN or RST of our own
#     $c->shutdown                 no more writing, reading goes on
#
# As tests (one each), named after the packet unless -name => is given:
#
#     $p = $c->expect(PUBACK => packet_id => 1, reason => 0x10)
#               next packet is of this type; fields are equal, match (qr//) or
#               satisfy a sub; props => [ ... ] is the exact list
#     $c->expect_close             closed with nothing more sent
#     $c->expect_disconnect($reason)
#               5.0: DISCONNECT with the reason, then closed; else just closed
#     $c->expect_nothing($seconds) no packet and no close, default 0.3 s
#     $c->expect_alive             PINGREQ is answered with PINGRESP, next
#
# Steps of a protocol, no tests:
#
#     $id = $c->publish($topic, $payload, qos => 1, retain =>, dup =>,
#                       props =>, packet_id =>)
#     $p  = $c->publish_wait($topic, $payload, qos => ...)
#               waits for the end of the exchange: PUBACK, PUBCOMP, or PUBREC
#               with an error; undef if it does not come
#     $p  = $c->subscribe($filter => $options, ...)       SUBACK
#     $p  = $c->unsubscribe($filter, ...)                 UNSUBACK
#     $p  = $c->recv_message($timeout)
#               next PUBLISH, acknowledged, QoS 2 to the end
#     $ok = $c->is_alive           other packets stay readable by recv
#     $c->disconnect(%fields)      DISCONNECT, then close
#
# Many clients at once:
#
#     MqttTest::Client->pump(\@clients, until => sub { ... }, timeout => 10,
#                            on_packet => sub { my ($c, $packet) = @_ })
#               an event loop: writes what is queued, hands packets to
#               on_packet or keeps them for recv; ends when "until" is true,
#               or all clients are closed, or (undef) at the timeout
#     MqttTest::Client->publish_many(\@clients, count => 200, qos => 1,
#                            topic => 'a/b' or sub { my ($c, $n) = @_ },
#                            payload => sub { my ($c, $n) = @_ },
#                            window => 20, timeout => 30, until => sub { })
#               every client publishes n = 0 .. count - 1, at most "window" of
#               them unacknowledged, until all are acknowledged, or refused, or
#               the client is closed; returns how many were acknowledged.
#               $c->acked, $c->refused: the numbers n in the order of arrival
#               ($c->released for QoS 2: PUBCOMPs), $c->published: how many
#     MqttTest::Client->unanswered(\@clients)
#               how many publishes of publish_many have no answer yet

use warnings;
use strict;

use Errno qw/ EAGAIN EWOULDBLOCK EINTR EINPROGRESS /;
use IO::Socket::INET;
use Scalar::Util qw/ refaddr weaken /;
use Socket qw/ SOL_SOCKET SO_LINGER SO_RCVBUF IPPROTO_TCP TCP_NODELAY /;
use Test::More ();

use MqttTest::Packet ();
use MqttTest::Util qw/ now slow /;
use MqttTest::WebSocket ();


my $sequence = 0;
my %all;


sub new {
    my ($class, %args) = @_;

    my $self = bless {
        host     => '127.0.0.1',
        version  => 5,
        timeout  => 10,
        auto_ack => 1,
        out      => '',
        in       => '',
        inbox    => [],
        next_id  => 0,
        acked    => [],
        refused  => [],
        released => [],
        %args,
    }, $class;

    my $s = IO::Socket::INET->new(
        Proto => 'tcp', PeerAddr => $self->{host}, PeerPort => $self->{port},
        Timeout => slow(5),
    ) or die "connect to $self->{host}:$self->{port}: $!\n";

    setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1;
    setsockopt $s, SOL_SOCKET, SO_RCVBUF, $self->{receive_buffer}
        if $self->{receive_buffer};

    binmode $s;

    if (defined $self->{proxy}) {
        my $n = syswrite $s, $self->{proxy};
        die "PROXY header: $!\n" if !defined $n || $n != length $self->{proxy};
    }

    $self->{socket} = $self->{ssl} ? $self->start_tls($s) : $s;
    $self->{socket}->blocking(0);
    $self->start_ws if $self->{ws};

    $all{refaddr $self} = $self;
    weaken $all{refaddr $self};

    return $self;
}


sub start_tls {
    my ($self, $s) = @_;

    require IO::Socket::SSL;

    my %ssl = ref $self->{ssl} ? %{ $self->{ssl} } : ();

    IO::Socket::SSL->start_SSL($s, SSL_verify_mode => 0,
                               SSL_startHandshake => 1, Timeout => slow(5),
                               %ssl)
        or die "TLS handshake: " . IO::Socket::SSL::errstr() . "\n";

    return $s;
}


sub start_ws {
    my ($self) = @_;

    my %request = ref $self->{ws} ? %{ $self->{ws} } : ();

    $request{key} //= MqttTest::WebSocket::key();

    $self->{ws} = undef;
    $self->send_raw(MqttTest::WebSocket::request(%request));

    my $end = now() + slow($self->{timeout});

    while ($self->{in} !~ /\r\n\r\n/ && !$self->{eof} && now() < $end) {
        $self->wait_socket(0, 0.1);
        $self->fill;
    }

    my ($response, $rest) = split /\r\n\r\n/, $self->{in}, 2;
    my ($status) = ($response // '') =~ m{^HTTP/1\.1 (\d+) };
    my $accept = MqttTest::WebSocket::accept_key($request{key});

    die 'WebSocket handshake was refused with ' . ($status // 'nothing')
        . "\n" if ($status // 0) != 101;
    die "WebSocket handshake has no right accept key\n"
        if $response !~ /^Sec-WebSocket-Accept: \Q$accept\E\r?$/m;

    $self->{ws} = MqttTest::WebSocket->new;
    $self->{in} = $self->{ws}->feed($rest);
}


sub open {
    my ($class, %args) = @_;

    my ($options, $connect) = $class->split_args(%args);

    return $class->new(%$options)->connected(%$connect);
}


# options of new(), and the rest

sub split_args {
    my ($class, %args) = @_;

    my %options = map { exists $args{$_} ? ($_ => delete $args{$_}) : () }
                  qw/ host port version timeout ssl proxy auto_ack ws
                      receive_buffer /;

    return (\%options, \%args);
}


# connect(), or dies

sub connected {
    my ($self, %connect) = @_;

    my $connack = $self->connect(%connect);

    die "CONNECT was answered by a close\n" if !$connack;
    die sprintf "CONNECT was refused with 0x%02x\n", $connack->{reason}
        if $connack->{reason};

    return $self;
}


sub connect {
    my ($self, %connect) = @_;

    $connect{client_id} //= sprintf 'test-%d-%d', $$, ++$sequence;
    $self->{client_id} = $connect{client_id};

    $self->send(CONNECT => %connect);

    my $packet = $self->recv;

    die "CONNECT was answered by $packet->{type}\n"
        if $packet && $packet->{type} ne 'CONNACK';

    return $self->{connack} = $packet;
}


sub connack   { return $_[0]{connack} }
sub client_id { return $_[0]{client_id} }
sub version   { return $_[0]{version} }
sub acked     { return $_[0]{acked} }
sub refused   { return $_[0]{refused} }
sub released  { return $_[0]{released} }
sub published { return $_[0]{published} }
sub reset     { return $_[0]{reset} }
sub socket    { return $_[0]{socket} }
sub ws        { return $_[0]{ws} }


sub local_port {
    my ($self) = @_;

    return $self->{socket}->sockport;
}


sub closed {
    my ($self) = @_;

    return $self->{eof} && !@{ $self->{inbox} };
}


sub close {
    my ($self) = @_;

    my $s = delete $self->{socket};
    $self->{eof} = 1;

    return if !$s;
    return $s->close(SSL_no_shutdown => 1) if $self->{ssl};
    return $s->close;
}


sub close_all {
    $_->close for grep { defined } values %all;
}


sub DESTROY {
    my ($self) = @_;

    delete $all{refaddr $self};
}


sub abort {
    my ($self) = @_;

    my $s = $self->{socket} or return;

    setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;

    return $self->close;
}


sub shutdown {
    my ($self) = @_;

    $self->flush;

    return CORE::shutdown($self->{socket}, 1);
}


###############################################################################
# bytes


# Reads what is there; false if there was nothing.

sub fill {
    my ($self) = @_;

    my $got = 0;

    while ($self->{socket} && !$self->{eof}) {
        my $n = sysread $self->{socket}, my $bytes, 65536;

        if ($n) {
            $self->{in} .= $self->{ws} ? $self->{ws}->feed($bytes) : $bytes;
            $got = 1;
            next if $self->{ssl};
            last if $n < 65536;
            next;
        }

        if (defined $n) {
            $self->{eof} = 1;
            return 1;
        }

        last if $!{EAGAIN} || $!{EWOULDBLOCK};
        next if $!{EINTR};

        $self->{reset} = $!{ECONNRESET} ? 1 : 0;
        $self->{eof} = 1;

        return 1;
    }

    return $got;
}


# Writes what the socket takes; a closed connection swallows the rest, so that
# what the server had said before can still be read.  TLS is given a record at
# a time: OpenSSL wants all of a write that it did not finish once more, and a
# test may take back what is behind.

sub drain {
    my ($self) = @_;

    while (length $self->{out}) {
        return if !$self->{socket};

        my $n = syswrite $self->{socket}, $self->{out},
                         $self->{ssl} ? 16384 : length $self->{out};

        if (defined $n) {
            substr $self->{out}, 0, $n, '';
            next;
        }

        return if $!{EAGAIN} || $!{EWOULDBLOCK};
        next if $!{EINTR};

        $self->{out} = '';
    }
}


# cuts one packet off the input

sub cut {
    my ($self) = @_;

    my ($packet, $length) = MqttTest::Packet::parse($self->{version},
                                                    $self->{in});
    return if !$packet;

    substr $self->{in}, 0, $length, '';

    return $packet;
}


sub cut_all {
    my ($self) = @_;

    my @packets;
    my $pos = 0;

    while (1) {
        my ($packet, $length) = MqttTest::Packet::parse($self->{version},
                                                        $self->{in}, $pos);
        last if !$packet;

        push @packets, $packet;
        $pos += $length;
    }

    substr $self->{in}, 0, $pos, '';

    return @packets;
}


# true when readable or writable, as asked

sub wait_socket {
    my ($self, $write, $seconds) = @_;

    my $s = $self->{socket} or return;

    return 1 if !$write && $self->{ssl} && $s->pending;

    my ($r, $w) = ('', '');

    vec($r, fileno $s, 1) = 1;
    vec($w, fileno $s, 1) = 1 if $write;

    return select($r, $w, undef, $seconds < 0 ? 0 : $seconds) > 0;
}


sub flush {
    my ($self) = @_;

    my $end = now() + slow($self->{timeout});

    $self->drain;

    while (length $self->{out}) {
        die "client $$: timed out in sending\n" if now() >= $end;

        # the server may be waiting for us to read

        $self->wait_socket(1, 0.1);
        $self->fill;
        $self->drain;
    }
}


sub queue_raw {
    my ($self, $bytes) = @_;

    $bytes = MqttTest::WebSocket::frame($bytes) if $self->{ws};

    $self->{out} .= $bytes;
}


# bytes as they are, for WebSocket too

sub send_wire {
    my ($self, $bytes) = @_;

    $self->{out} .= $bytes;
    $self->flush;
}


sub queue {
    my ($self, $type, %fields) = @_;

    $self->queue_raw(MqttTest::Packet::gen($type, $self->{version}, %fields));
}


sub send_raw {
    my ($self, $bytes) = @_;

    $self->queue_raw($bytes);
    $self->flush;
}


sub send {
    my ($self, $type, %fields) = @_;

    $self->queue($type, %fields);
    $self->flush;
}


###############################################################################
# packets


sub recv {
    my ($self, $timeout) = @_;

    return shift @{ $self->{inbox} } if @{ $self->{inbox} };

    my $end = now() + (defined $timeout ? $timeout : slow($self->{timeout}));

    while (1) {
        my $packet = $self->cut;
        return $packet if $packet;

        return if $self->{eof};

        next if $self->fill;

        my $left = $end - now();
        return if $left <= 0;

        $self->drain;
        $self->wait_socket(length $self->{out}, $left < 0.1 ? $left : 0.1);
    }
}


sub next_id {
    my ($self) = @_;

    return $self->{next_id} = $self->{next_id} % 65535 + 1;
}


sub publish {
    my ($self, $topic, $payload, %f) = @_;

    my $id = $f{qos} ? $f{packet_id} // $self->next_id : undef;

    $self->send(PUBLISH => topic => $topic, payload => $payload, %f,
                           packet_id => $id);

    return $id;
}


# Takes the next packet that "wanted" is true for; what comes before it stays
# readable, in order.

sub recv_wanted {
    my ($self, $wanted, $timeout) = @_;

    my @others;
    my $end = now() + (defined $timeout ? $timeout : slow($self->{timeout}));
    my $found;

    while (1) {
        my $left = $end - now();
        my $packet = $self->recv($left > 0 ? $left : 0) or last;

        if ($wanted->($packet)) {
            $found = $packet;
            last;
        }

        push @others, $packet;
    }

    unshift @{ $self->{inbox} }, @others;

    return $found;
}


sub publish_wait {
    my ($self, $topic, $payload, %f) = @_;

    my $id = $self->publish($topic, $payload, %f) // return;
    my $answer = sub {
        my ($type) = @_;

        return $self->recv_wanted(sub {
            $_[0]{type} eq $type && $_[0]{packet_id} == $id;
        });
    };

    return $answer->('PUBACK') if $f{qos} == 1;

    my $pubrec = $answer->('PUBREC') // return;
    return $pubrec if $pubrec->{reason} >= 0x80;

    $self->send(PUBREL => packet_id => $id);

    return $answer->('PUBCOMP');
}


sub subscribe {
    my ($self, @filters) = @_;

    my $id = $self->next_id;
    my @pairs;

    while (my ($filter, $options) = splice @filters, 0, 2) {
        push @pairs, [ $filter, $options ];
    }

    $self->send(SUBSCRIBE => packet_id => $id, filters => \@pairs);

    return $self->recv_wanted(sub {
        $_[0]{type} eq 'SUBACK' && $_[0]{packet_id} == $id;
    });
}


sub unsubscribe {
    my ($self, @filters) = @_;

    my $id = $self->next_id;

    $self->send(UNSUBSCRIBE => packet_id => $id, filters => \@filters);

    return $self->recv_wanted(sub {
        $_[0]{type} eq 'UNSUBACK' && $_[0]{packet_id} == $id;
    });
}


sub recv_message {
    my ($self, $timeout) = @_;

    my $packet = $self->recv_wanted(sub { $_[0]{type} eq 'PUBLISH' },
                                    $timeout) // return;

    return $packet if $packet->{acknowledged} || !$self->acknowledge($packet);

    $self->flush;

    if ($packet->{qos} == 2) {
        my $pubrel = $self->recv_wanted(sub {
            $_[0]{type} eq 'PUBREL'
                && $_[0]{packet_id} == $packet->{packet_id};
        });

        if ($pubrel) {
            $self->acknowledge($pubrel);
            $self->flush;
        }
    }

    return $packet;
}


# the receiver's half of QoS 1 and 2; true if there is an answer

sub acknowledge {
    my ($self, $packet) = @_;

    return 0 if !$self->{auto_ack};

    my $type = $packet->{type} eq 'PUBREL' ? 'PUBCOMP'
             : $packet->{type} ne 'PUBLISH' || !$packet->{qos} ? return 0
             : $packet->{qos} == 1 ? 'PUBACK' : 'PUBREC';

    $packet->{acknowledged} = 1;
    $self->queue($type => packet_id => $packet->{packet_id});

    return 1;
}


sub is_alive {
    my ($self) = @_;

    $self->send('PINGREQ');

    return defined $self->recv_wanted(sub { $_[0]{type} eq 'PINGRESP' });
}


sub disconnect {
    my ($self, %fields) = @_;

    $self->send(DISCONNECT => %fields);
    $self->close;
}


###############################################################################
# tests


sub describe {
    my ($packet) = @_;

    return 'no packet' if !$packet;

    return join ' ', $packet->{type}, map {
        my $value = $packet->{$_};

        "$_=" . ($_ eq 'props'
                 ? '[' . join(', ', map { join ' ', @$_ } @$value) . ']'
                 : ref $value ? "[@$value]" : $value)
    } grep { !/^(?:type|raw|flags|acknowledged)$/ } sort keys %$packet;
}


sub equal {
    my ($got, $wanted) = @_;

    return 0 if !defined $got;
    return $wanted->($got) if ref $wanted eq 'CODE';
    return $got =~ $wanted if ref $wanted eq 'Regexp';
    return $got eq $wanted if !ref $wanted;

    return join("\0", map { ref $_ ? join("\1", @$_) : $_ } @$got)
           eq join("\0", map { ref $_ ? join("\1", @$_) : $_ } @$wanted);
}


sub expect {
    my ($self, $type, %fields) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $name = delete $fields{-name}
               // join ' ', $type, map { "$_ " . (ref $fields{$_} ? '...'
                                                  : $fields{$_}) }
                                   sort keys %fields;
    my $timeout = delete $fields{-timeout};
    my $packet = $self->recv($timeout);
    my @wrong = $packet ? grep { !equal($packet->{$_}, $fields{$_}) }
                               sort keys %fields
                        : ();

    my $ok = $packet && $packet->{type} eq $type && !@wrong;

    Test::More::ok($ok, $name)
        or Test::More::diag('got: ' . describe($packet)
                            . ($self->{eof} ? ', closed' : '')
                            . (@wrong ? "\nwrong: @wrong" : ''));

    return $packet;
}


sub expect_close {
    my ($self, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $packet = $self->recv;

    return Test::More::ok(!$packet && $self->{eof},
                          $name // 'connection closed')
           || Test::More::diag('got: ' . describe($packet));
}


sub expect_disconnect {
    my ($self, $reason, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return $self->expect_close($name) if $self->{version} < 5;

    my $packet = $self->recv;
    my $ok = $packet && $packet->{type} eq 'DISCONNECT'
             && equal($packet->{reason}, $reason);
    my $more = $self->recv;

    Test::More::ok($ok && !$more && $self->{eof},
                   $name // sprintf 'DISCONNECT 0x%02x and close', $reason)
        or Test::More::diag('got: ' . describe($packet) . ', then '
                            . ($more ? describe($more)
                               : $self->{eof} ? 'closed' : 'still open'));

    return $packet;
}


sub expect_nothing {
    my ($self, $seconds, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $packet = $self->recv($seconds // 0.3);

    return Test::More::ok(!$packet && !$self->{eof}, $name // 'no packet')
           || Test::More::diag($packet ? 'got: ' . describe($packet)
                                       : 'closed');
}


sub expect_alive {
    my ($self, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->send('PINGREQ');

    return $self->expect(PINGRESP => -name => $name // 'PINGRESP');
}


###############################################################################
# many clients


sub pump {
    my ($class, $clients, %args) = @_;

    my $end = now() + slow($args{timeout} // 10);
    my $on_packet = $args{on_packet}
                    // sub { push @{ $_[0]{inbox} }, $_[1] };
    my $until = $args{until} // sub { 0 };

    my $take = sub {
        my ($c) = @_;

        for my $packet ($c->cut_all) {
            $c->acknowledge($packet);
            $on_packet->($c, $packet);
        }
    };

    while (1) {
        my ($r, $w, %by_fd) = ('', '');
        my $ready = 0;

        for my $c (@$clients) {
            # read before with something else, and nothing may follow

            $take->($c);

            next if $c->{eof};

            $c->drain;

            my $fd = fileno $c->{socket};

            $by_fd{$fd} = $c;
            vec($r, $fd, 1) = 1;
            vec($w, $fd, 1) = 1 if length $c->{out};
            $ready = 1 if $c->{ssl} && $c->{socket}->pending;
        }

        return 1 if $until->();
        return 1 if !%by_fd;
        return if now() >= $end;

        select $r, $w, undef, $ready ? 0 : 0.02;

        for my $fd (keys %by_fd) {
            my $c = $by_fd{$fd};

            next if !vec($r, $fd, 1) && !($c->{ssl} && $c->{socket}->pending);

            $c->fill;
            $take->($c);
        }
    }
}


sub publish_many {
    my ($class, $clients, %args) = @_;

    my $qos = $args{qos} // 1;
    my $count = $args{count};
    my $window = $args{window} // 20;
    my $total = 0;

    my $feed = sub {
        my ($c) = @_;

        while (!$c->{eof} && $c->{published} < $count
               && keys %{ $c->{waiting} } < $window)
        {
            my $n = $c->{published}++;
            my $id;

            if ($qos) {
                $id = $c->next_id;
                $c->{waiting}{$id} = $n;
                $c->{unanswered}{$n} = 1;

            } else {
                return if length $c->{out} > 65536;
            }

            $c->queue(PUBLISH =>
                topic     => ref $args{topic} ? $args{topic}->($c, $n)
                                              : $args{topic},
                payload   => $args{payload} ? $args{payload}->($c, $n) : $n,
                qos       => $qos,
                packet_id => $id,
                props     => $args{props});
        }
    };

    for my $c (@$clients) {
        $c->{waiting} = {};
        $c->{unanswered} = {};
        $c->{published} = 0;
        $c->{$_} = [] for qw/ acked refused released /;
        $feed->($c);
    }

    my $done = sub {
        return 1 if $args{until} && $args{until}->();

        for my $c (@$clients) {
            $feed->($c) if !$qos;

            return 0 if !$c->{eof}
                        && ($c->{published} < $count || %{ $c->{waiting} }
                            || length $c->{out});
        }

        return 1;
    };

    $class->pump($clients, until => $done, timeout => $args{timeout} // 30,
        on_packet => sub {
            my ($c, $p) = @_;

            my $n = $p->{type} =~ /^PUB(?:ACK|REC|COMP)$/
                    ? $c->{waiting}{$p->{packet_id}} : undef;

            return push @{ $c->{inbox} }, $p if !defined $n;

            my $end = $p->{reason} >= 0x80 || $p->{type} ne 'PUBREC';

            if ($p->{type} eq 'PUBCOMP') {
                push @{ $c->{released} }, $n;

            } elsif ($p->{reason} >= 0x80) {
                push @{ $c->{refused} }, $n;

            } else {
                push @{ $c->{acked} }, $n;
                $total++;
            }

            delete $c->{unanswered}{$n};

            if ($end) {
                delete $c->{waiting}{$p->{packet_id}};
                $feed->($c);

            } else {
                $c->queue(PUBREL => packet_id => $p->{packet_id});
            }
        });

    return $total;
}


sub unanswered {
    my ($class, $clients) = @_;

    my $n = 0;

    $n += keys %{ $_->{unanswered} } for @$clients;

    return $n;
}


1;
